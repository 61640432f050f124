"""Puts the catalogue, which stands at the top of the repository, inside the package that it describes."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py


class BuildWithCatalogue(build_py):
    """Copies registry.yaml into the built fusionkit_plugins; an editable install reads it where it stands."""

    def run(self) -> None:
        """Build the packages, then add the catalogue."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "fusionkit_plugins"
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2("registry.yaml", target / "registry.yaml")


PACKAGES = [
    *find_packages(include=["fusionkit", "fusionkit.*"]),
    "fusionkit_plugins",
    *(f"fusionkit_plugins.{name}" for name in find_packages("plugins")),
]

setup(cmdclass={"build_py": BuildWithCatalogue}, packages=PACKAGES)
