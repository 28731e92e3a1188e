"""The first example of the README, as it runs without a download."""

import re

import numpy as np
from PIL import Image

# A network that comes with the package, in place of one that would have to be downloaded.
AT_HAND = {
    'models.backbone("dinov2_small")': 'models.pretrained("cifar10")',
    "(224, 224)": "(32, 32)",
}
QUERIES = 10  # of the images below, as the example splits them


def first_example(readme):
    """Its Python, of the text of the README."""
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1]
    for asked, at_hand in AT_HAND.items():
        assert asked in code, f"the first example has no {asked}"
        code = code.replace(asked, at_hand)
    return code


def make_images(folder):
    """The folder that it reads: five classes of twenty images, noise."""
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c", "d", "other"):
        (folder / "my_images" / name).mkdir(parents=True)
        for i in range(20):
            noise = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / "my_images" / name / f"{i}.png")
