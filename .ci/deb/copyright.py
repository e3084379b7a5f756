"""Print debian/copyright: the licence of azfuse, and those of the Python packages beside it."""

import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

#: Installers, which no package contains.
_LEFT_OUT = {"azfuse", "pip", "setuptools"}


def licence(package: Distribution) -> str:
    """Return what *package* says of its licence, in few words."""
    said = package.metadata.get("License-Expression") or package.metadata.get("License") or ""
    if not said or "\n" in said:
        kinds = package.metadata.get_all("Classifier") or []
        said = ", ".join(k.rpartition(" :: ")[2] for k in kinds if k.startswith("License :: "))
    return said or "see its files"


def main() -> None:
    """Print the file; the first argument is the licence of azfuse."""
    print(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print("/usr/lib/azfuse contains these Python packages as well. Their licences lie beside them,")
    print("in directories *.dist-info, or are among those of /usr/share/common-licenses.\n")
    for package in sorted(distributions(), key=lambda package: package.name.lower()):
        if package.name not in _LEFT_OUT:
            print(f"  {package.name} {package.version}: {licence(package)}")


if __name__ == "__main__":
    main()
