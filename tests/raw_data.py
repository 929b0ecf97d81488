"""Words that prepare raw data, and the damage that a broken copy does to a file."""


def prepare(track, data, *words):
    return "prepare", "--track", track, "--data", data, "--refold", "--folds", 3, *words


def cut(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
