"""What users install, each kind where it is alone: sdist, wheel, `make install`, the .deb."""
