"""Does the teacher-student bound say anything on images, and from which n on?

    python experiments/bounds_on_images.py [--smoke | --full] [--out FOLDER]

This is `kdtheory study bounds_on_images`; all its flags can be given.
docs/studies/bounds_on_images.md says what is varied and how to read the result.
Run time on two CPU cores: 13 min on one core, and 17 for the shared teachers.
On one GPU (--full): not measured.
Result seen (experiments/results/bounds_on_images):
vacuous everywhere, and larger at larger n: the norm grows faster than n.
"""

import sys

from kdtheory.cli import main

if __name__ == "__main__":
    main(["study", "bounds_on_images", *sys.argv[1:]])
