"""Stand in for the plant: belt, camera, boards and people, with known truth; never imported at run time."""
