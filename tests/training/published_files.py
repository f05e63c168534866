"""Small files in the published formats of MNIST, Fashion-MNIST and CIFAR-10."""

import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np

IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
CIFAR_NAMES = tuple("data_batch_%d.bin" % i for i in range(1, 6)) + ("test_batch.bin",)


def mnist_arrays(n_train=20, n_test=10, first=0):
    """Return images whose first pixel counts from `first`, and their classes, for training and test."""

    def part(n, start):
        images = np.zeros((n, 28, 28), np.uint8)
        images[:, 0, 0] = np.arange(start, start + n)
        images[:, 27, 26] = 255
        return images, (np.arange(n) % 10).astype(np.uint8)

    return part(n_train, first) + part(n_test, first + n_train)


def idx_bytes(values):
    """Return the bytes of the IDX format: magic number, axes, values."""
    header = struct.pack(">BBBB", 0, 0, 8, values.ndim) + struct.pack(">%dI" % values.ndim, *values.shape)
    return header + values.tobytes()


def write_mnist(folder, gzipped=True, first=0):
    """Write the four files; return the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in zip(IDX_NAMES, mnist_arrays(first=first)):
        content = idx_bytes(values)
        if gzipped:
            (folder / (name + ".gz")).write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def cifar_record(label, red, green, blue):
    """Return one record: the class, then three planes; the first pixel of the second row of red is 200."""
    planes = np.empty((3, 32, 32), np.uint8)
    planes[0], planes[1], planes[2] = red, green, blue
    planes[0, 1, 0] = 200
    return bytes([label]) + planes.tobytes()


def cifar_contents(n=2):
    """Return the bytes of the six files; the red of a picture encodes its file, the green its position."""
    return {name: b"".join(cifar_record((k + i) % 10, k, i, 9) for i in range(n)) for k, name in enumerate(CIFAR_NAMES)}


def write_cifar(folder):
    """Write the six files; return the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in cifar_contents().items():
        (folder / name).write_bytes(content)
    return folder


def cifar_archive(contents=None):
    """Return the bytes of an archive as published: the files are in a folder, in another order."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in sorted((contents or cifar_contents()).items(), reverse=True):
            member = tarfile.TarInfo("cifar-10-batches-bin/" + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        readme = tarfile.TarInfo("cifar-10-batches-bin/readme.html")
        archive.addfile(readme, io.BytesIO(b""))
    return stream.getvalue()
