"""make_bundled.py EXAMPLE OUT: a test folder from the example's network and pictures, with ONNX Runtime's answers."""
import glob
import os
import shutil
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper


def main(example, out):
    data = f"{out}/test_data_set_0"
    os.makedirs(data, exist_ok=True)
    pictures = []
    for path in sorted(glob.glob(f"{example}/images/*.pgm")):
        with open(path, "rb") as f:
            pictures.append(np.frombuffer(f.read()[-28 * 28 :], np.uint8).reshape(1, 28, 28))
    image = np.stack(pictures).astype(np.float32) / 255
    session = onnxruntime.InferenceSession(f"{example}/model.onnx", providers=["CPUExecutionProvider"])
    logits = session.run(None, {"image": image})[0]
    onnx.save_tensor(numpy_helper.from_array(image, "image"), f"{data}/input_0.pb")
    onnx.save_tensor(numpy_helper.from_array(logits, "logits"), f"{data}/output_0.pb")
    shutil.copy(f"{example}/model.onnx", f"{out}/model.onnx")


if __name__ == "__main__":
    main(*sys.argv[1:])
