"""Makes torch importable on a machine without CUDA.

Usage: torch_without_cuda.py (with the Python that torch is installed in). Needs a C compiler and binutils.

The wheel of torch that PyPI has for Linux on x86-64 is linked to CUDA libraries, which are packages of their own, 2 GB in all.
The loader wants the libraries and every symbol of them to exist; on a machine without a GPU, none is of use. For each library
that is missing, a small one is compiled whose functions all answer "no device".
"""

import collections
import ctypes
import importlib.util
import pathlib
import re
import subprocess
import sys
import tempfile

# What cudaErrorNoDevice and CUDA_ERROR_NO_DEVICE are.
NO_DEVICE = 100
CUDA = re.compile(r"lib(cu|nv|nccl)")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def torch_folder():
    found = importlib.util.find_spec("torch")
    if found is None:
        sys.exit(f"FAILED: torch is not installed in {sys.prefix}")
    return pathlib.Path(found.submodule_search_locations[0])


def needed(library):
    """Names of the libraries that `library` is linked to, in order."""
    return re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "--dynamic", "--wide", library))


def homes(library):
    """The library that each version of symbols is expected of."""
    homes, home = {}, None
    for line in run("readelf", "--version-info", "--wide", library).splitlines():
        if file := re.search(r"Version: \d+  File: (\S+)", line):
            home = file[1]
        elif version := re.search(r"Name: (\S+)  Flags: .* Version: ", line):
            homes[version[1]] = home
    return homes


def symbols(library, which):
    """(name, version) of the dynamic symbols of `library`; the version is empty where it has none."""
    for line in run("nm", "--dynamic", "--with-symbol-versions", f"--{which}-only", library).splitlines():
        kind, symbol = line.split()[-2:]
        # A weak symbol may stay undefined.
        if which == "defined" or kind not in "wv":
            name, _, version = symbol.partition("@")
            yield name, version.lstrip("@")


def is_missing(name, folder):
    if not CUDA.match(name) or (folder / name).exists():
        return False
    try:
        ctypes.CDLL(name)
    except OSError:
        return True
    return False


def wanted(libraries, folder):
    """For each missing library, the names that are expected of it, by version."""
    own = {name for library in libraries for name, _ in symbols(library, "defined")}
    expected = {}
    for library in libraries:
        missing = [name for name in needed(library) if is_missing(name, folder)]
        for name in missing:
            expected.setdefault(name, collections.defaultdict(set))
        home_of = homes(library)
        for name, version in symbols(library, "undefined"):
            home = home_of.get(version)
            if not version and missing and name not in own and not name.startswith(("Py", "_Py", "_Z")):
                # The loader looks for it in all libraries that its user is linked to: any of them will do.
                home = missing[0]
            if home in missing:
                expected[home][version].add(name)
    return expected


def compile_stub(path, names_by_version):
    """A library whose functions return `NO_DEVICE`, with the versions under which they are looked for."""
    names = set().union(*names_by_version.values())
    source = "".join(f"int {name}(void) {{ return {NO_DEVICE}; }}\n" for name in sorted(names))
    nodes = "".join(
        f"{version} {{ global: {'; '.join(sorted(names))}; }};\n"
        for version, names in sorted(names_by_version.items())
        if version
    )
    with tempfile.TemporaryDirectory() as folder:
        code, versions = pathlib.Path(folder, "stub.c"), pathlib.Path(folder, "versions")
        code.write_text(source)
        versions.write_text(nodes)
        script = [f"-Wl,--version-script={versions}"] if nodes else []
        # Some names are those of C's own functions to the compiler; here they are names only.
        run("cc", "-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{path.name}", *script, "-o", path, code)
    return len(names)


def main():
    folder = torch_folder()
    libraries = sorted([*folder.glob("lib/*.so*"), *folder.glob("_C.*.so")])
    for name, names_by_version in sorted(wanted(libraries, folder / "lib").items()):
        count = compile_stub(folder / "lib" / name, names_by_version)
        print(f"{name}: {count} functions without a device")


if __name__ == "__main__":
    main()
