/* upgrade.h: the rewrites of upgrade_early.c and upgrade_scan.c, for the table in upgrade.c; nobody
 * else includes it. Each is as upgrade_row.run says. */
#ifndef ONNXCC_FRONTEND_UPGRADE_H
#define ONNXCC_FRONTEND_UPGRADE_H

#include "frontend/import_internal.h"

bool upgrade_tile(importer *im, import_node *n, bool *done);
bool upgrade_upsample(importer *im, import_node *n, bool *done);
bool upgrade_norm_order(importer *im, import_node *n, bool *done);
bool upgrade_roi_align(importer *im, import_node *n, bool *done);
bool upgrade_selu(importer *im, import_node *n, bool *done);
bool upgrade_group_norm(importer *im, import_node *n, bool *done);
bool upgrade_scan(importer *im, import_node *n, bool *done);
/* A BatchNormalization whose statistics are per element (spatial=0). */
bool upgrade_batch_norm_elements(importer *im, import_node *n);

#endif
