"""Drawn lateral radiographs of the lower back, in the form of the lumbar course's data.

Under the data root::

    train/img/7.dcm          uint16, sizes differ; two pictures per person, who is the PatientID
    train/label/007.mat      label_separated: T12, L1 ... L5 from the top down, then the background
    test/img/33.dcm
    truth/label/033.mat      the test pictures' answers: the organisers do NOT give these

The numbers of images are not padded and those of labels are, so that pairing by sorted names goes wrong as it did in
the report. What else differs from file to file as in the real data is in ``spine_files.form_of``. Neighbours look
alike: the lowest thoracic vertebrae above are not labelled, and where the topmost is cut off its plane is empty.
"""

from collections.abc import Callable
from pathlib import Path

from competition.phantoms.lumbar.files import Form, form_of, write_dicom, write_label
from competition.phantoms.lumbar.picture import draw_spine

IMAGES_PER_PERSON = 2


def draw(root: Path, people: int, test_people: int, size: int, seed: int, advance: Callable[[], None]) -> None:
    """Draw a whole data set: two radiographs per person and their labels.

    Args:
        root: Data folder to write into.
        people: How many for training; their images are 1 onwards.
        test_people: How many for the test; their numbers follow, and their answers are in the plainest form.
        size: Usual height of the images in pixels.
        seed: The same seed gives the same bytes; a person doesn't depend on how many others are drawn.
        advance: Called after each image written.

    Raises:
        CompetitionError: A file could not be written.
    """
    for person in range(1, people + test_people + 1):
        train = person <= people
        images, labels = ("train/img", "train/label") if train else ("test/img", "truth/label")
        for visit in range(IMAGES_PER_PERSON):
            number = IMAGES_PER_PERSON * (person - 1) + visit + 1
            form = form_of(number)
            light, masks, mm = draw_spine(seed, person, visit, size)
            image = root / images / f"{number}.{'DCM' if form.capitals else 'dcm'}"
            write_dicom(image, light, f"SPINE-{person:04d}", mm, form)
            write_label(root / labels / f"{number:03d}.mat", masks, form if train else Form())
            advance()
