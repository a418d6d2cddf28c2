"""embed_text.py OUT NAME FILE: a text file as the C array NAME."""
import sys


def main(out, name, path):
    data = open(path, "rb").read()
    with open(out, "w") as f:  # as numbers: a string literal may have 4095 characters only
        f.write(f"/* Made by cmake/embed_text.py. */\nextern const char {name}[];\n")
        f.write(f"const char {name}[] = {{{','.join(map(str, data))},0}};\n")


main(*sys.argv[1:])
