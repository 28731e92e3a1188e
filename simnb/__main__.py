"""Search a folder of images from a terminal: ``python -m simnb search my_images``."""

import argparse
import contextlib
import errno
import hashlib
import json
import math
import re
import shlex
import sys
import traceback
import warnings
from pathlib import Path

from simnb import __version__
from simnb._terminal import quiet_stderr
from simnb._text import visible

MATCHED, NOT_MATCHED, FAILED, INTERRUPTED = 0, 1, 2, 130
_SAVED, _PAGE = "search", "page.html"  # names in the folder that a command writes
_NEAREST = 5  # files that are named for a photo
_UNFIT = re.compile(r"[^\w.-]+")  # for the name of a file

_EXIT_CODES = """exit codes:
  0    done; of match: at least one photo is of a class that is indexed
  1    match: none is, all of them are Unknown
  2    wrong use, or something failed: a sentence on stderr says what; of match: a photo cannot be read,
       the others are answered
  130  interrupted: no file is left half-written, and the same command goes on from there
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a name is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            return options.run(options)
        except KeyboardInterrupt:
            _complain("interrupted: no file is left half-written, and the same command goes on from here")
            return INTERRUPTED
        except (ValueError, OSError, ImportError) as error:
            _complain(_sentence(error))
            return FAILED
        except Exception:  # nobody foresaw it; a traceback alone would end with 1, which is an answer
            traceback.print_exc()
            return FAILED


def _parser():
    parser = argparse.ArgumentParser(
        prog="simnb",
        description="Search a folder of images by what they show, and see how far its answers can be\n"
        "trusted. Nothing is trained, and no image leaves this machine.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"simnb {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    look = "look through a folder: write a page to send, and a search to match with"
    search = _command(commands, "search", _search, look)
    index = _command(commands, "index", _index, "the same without the page")
    match = _command(commands, "match", _match, "say of which class photos are, and which files are nearest")
    search.add_argument(
        "--out",
        metavar="DIR/page.html",
        help="the page; all else is written beside it (default: FOLDER_search/page.html, beside FOLDER)",
    )
    index.add_argument("--out", metavar="DIR", required=True, help="the folder to write")
    for command in (search, index):
        command.add_argument("folder", metavar="FOLDER", help="with a sub-folder of images for each class")
        command.add_argument(
            "--no-labels", action="store_true", help="sub-folders, such as years or albums, are no classes"
        )
        command.add_argument(
            "--embedder",
            metavar="NAME",
            help="a network of keras.applications, a preset of KerasHub, an embedder that comes with simnb, "
            "or a .keras file (default: the best one that is on this machine)",
        )
        command.add_argument(
            "--promise",
            metavar="TARGET",
            help="what the threshold is to keep on new images: precision, accuracy, recall or coverage, and "
            'a share (default: "precision >= 0.9")',
        )
    match.add_argument("photos", nargs="+", metavar="PHOTO", help="an image file")
    match.add_argument(
        "--in", dest="saved", metavar="DIR", required=True, help="what search or index has written"
    )
    match.add_argument("--json", action="store_true", help="print a JSON array, one object for each photo")
    return parser


def _command(commands, name, run, summary):
    raw = argparse.RawDescriptionHelpFormatter
    sentence = f"{summary[0].upper()}{summary[1:]}."
    made = commands.add_parser(
        name, help=summary, description=sentence, epilog=_EXIT_CODES, formatter_class=raw
    )
    made.set_defaults(run=run)
    return made


def _search(options):
    folder, page = Path(options.folder).expanduser(), _page(options)
    found = _made(options, folder, page.parent)
    found.write_page(page)
    _tell(f"Page: {page} ({page.stat().st_size / 1e6:.1f} MB): open it in a browser, or send it to somebody.")
    return MATCHED


def _page(options):
    """Where the page is to be: by default in a folder beside that of the images."""
    if options.out is None:
        folder = Path(options.folder).expanduser()
        folder = folder.resolve() if folder.name in ("", "..") else folder
        return folder.with_name(f"{folder.name}_search") / _PAGE
    page = Path(options.out).expanduser()
    return page if page.suffix.lower() in (".html", ".htm") else page / _PAGE


def _index(options):
    _made(options, Path(options.folder).expanduser(), Path(options.out).expanduser())
    return MATCHED


def _made(options, folder, directory):
    """The ``FolderSearch`` of a folder, told and saved in a directory."""
    labelled = not options.no_labels
    _check_folder(folder, labelled)
    if directory.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"--out must not lie in the folder of images, {folder}, got {directory}")
    _start_keras()
    from simnb.folder_search import search_folder

    model, name, sentence = _embedder(options.embedder)
    _tell(f"Embedder: {sentence}")
    kept = directory / f"features-{_UNFIT.sub('-', name)}.sqlite"
    promise = {} if options.promise is None else {"promise": options.promise}
    new = [one for one in (directory, *directory.parents) if not one.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    try:
        found = search_folder(folder, model, labelled=labelled, kept=kept, **promise)
        _tell(found)
        found.search.save(directory / _SAVED)
    finally:
        with contextlib.suppress(OSError):  # unless there is something in them
            for one in new:
                one.rmdir()
    command = f"python -m simnb match PHOTO --in {shlex.quote(str(directory))}"
    _tell(f"Saved: {directory / _SAVED}, for {command}")
    return found


def _check_folder(folder, labelled):
    """Complain of the folder before the embedder is loaded."""
    from simnb import data

    try:
        data.list_images(folder, labelled=labelled)
    except ValueError as error:
        if not labelled:
            raise
        data.list_images(folder, labelled=False)  # which complains where --no-labels would not help
        raise ValueError(f"{error}; or pass --no-labels, where sub-folders are no classes") from error


def _match(options):
    _start_keras()
    from simnb import data
    from simnb.folder_search import image_size
    from simnb.search import SimilaritySearch

    saved = Path(options.saved).expanduser()
    search = SimilaritySearch.load(saved / _SAVED if (saved / _SAVED).is_dir() else saved)
    size, images, failed = image_size(search.model), {}, {}
    for photo in dict.fromkeys(options.photos):
        try:
            images[photo] = data.read_image(photo, image_size=size)
        except (ValueError, OSError) as error:
            failed[photo] = getattr(error, "strerror", None) or _sentence(error)
            _complain(f"{photo}: {failed[photo]}")
    answers = dict(zip(images, _answers(search, list(images.values())), strict=True))
    if options.json:
        told = [{"photo": one, **answers.get(one, {"error": failed.get(one)})} for one in options.photos]
        print(json.dumps(told, indent=1))
    else:
        for photo, answer in answers.items():
            _tell(_in_words(photo, **answer))
    if search.calibration is None:
        _complain("this search has no threshold, so that nothing is a match")
    if failed:
        return FAILED
    return MATCHED if any(answer["matched"] for answer in answers.values()) else NOT_MATCHED


def _answers(search, images):
    """For each image what is printed of it, as plain values."""
    import numpy as np

    from simnb.index import UNKNOWN

    if not images:
        return []
    calibration = search.calibration
    k = _NEAREST if calibration is None else max(_NEAREST, calibration.k)
    neighbors = search.lookup(np.stack(images), k=k)
    labels, distances = np.full(len(images), UNKNOWN), neighbors.distances[:, 0]
    if calibration is not None:
        found = calibration.match(neighbors, gallery=search.index)
        labels, distances = found.labels, found.distances
    columns = (labels.tolist(), distances.tolist(), _nearest(search.index, neighbors))
    return [
        {
            "name": _name_of(label, neighbors.class_names),
            "matched": label != UNKNOWN,
            "distance": distance,
            "threshold": _threshold(calibration),
            "nearest": nearest,
        }
        for label, distance, nearest in zip(*columns, strict=True)
    ]


def _nearest(index, neighbors):
    """The nearest rows of each image, as plain values."""
    shown = neighbors.first(min(_NEAREST, len(index)))
    rows = index.get(sorted(set(shown.ids.ravel().tolist())))
    files = {one: about.get("file") for one, about in zip(rows.ids.tolist(), rows.metadata, strict=True)}
    return [
        [
            {
                "file": files[one],
                "id": one,
                "name": _name_of(label, shown.class_names),
                "distance": distance,
            }
            for one, label, distance in zip(*columns, strict=True)
        ]
        for columns in zip(shown.ids.tolist(), shown.labels.tolist(), shown.distances.tolist(), strict=True)
    ]


def _name_of(label, class_names):
    return None if label < 0 else label if class_names is None else class_names[label]


def _threshold(calibration):
    """The largest distance that matches; None where there is none, or one for each class."""
    if calibration is None or calibration.cutpoint.by_class is not None:
        return None
    threshold = calibration.cutpoint.threshold
    return threshold if math.isfinite(threshold) else None


def _in_words(photo, *, name, matched, distance, threshold, nearest):
    answer = name if matched else "Unknown"
    limit = "" if threshold is None else f", a match up to {threshold:.3g}"
    lines = [f"{photo}: {answer} (distance {distance:.3g}{limit})"]
    for one in nearest:
        file = f"id {one['id']}" if one["file"] is None else one["file"]
        lines.append(
            f"  {one['distance']:.3g}  {file}" + ("" if one["name"] is None else f"  ({one['name']})")
        )
    return "\n".join(lines)


def _start_keras():
    """Have TensorFlow say now, where it is left out, that it found no GPU."""
    with quiet_stderr():
        from simnb._keras import ops

        ops.zeros(1)


def _embedder(name):
    """The embedder of this name, or the best one on this machine; a name for its file, and a sentence."""
    from simnb import models
    from simnb.models.pretrained import PRETRAINED

    if name is None:
        model, sentence = models.best_on_disk()
        better = 'pip install "simnb[hub]", then --embedder dinov2_small, which is downloaded once'
        return model, model.name, f"{sentence.partition('; a better one')[0]}. For a better one: {better}."
    if Path(name).suffix == ".keras":
        return *_from_file(Path(name).expanduser()), f"{name}."
    if name in PRETRAINED:
        return models.pretrained(name), name, f"{name}, which comes with simnb."
    if "_" in name or "://" in name or Path(name).is_dir():  # as no network of keras.applications is called
        return models.backbone(name), name, f"{name}, a preset of KerasHub."
    model = models.backbone(name, weights="imagenet", embedding_size=0, pooling="average")
    return model, name, f"{name}, trained on ImageNet."


def _from_file(path):
    """The model in a file, and a name by which no other file of the same name is meant."""
    from simnb import _saving
    from simnb._keras import keras

    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "there is no such embedder", str(path))
    with _saving.explained(path.name, path.parent, path.parent):
        _saving.check_archive(path)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    shape = getattr(model, "input_shape", None)  # None of one with a call of its own
    if shape is not None and (not isinstance(shape, tuple) or len(shape) != 4 or shape[3] not in (3, None)):
        raise ValueError(
            f"{path} must take images, [batch, height, width, 3], but takes input of shape {shape}"
        )
    with path.open("rb") as file:
        return model, f"{path.stem}-{hashlib.file_digest(file, 'sha256').hexdigest()[:8]}"


def _tell(text):
    print(visible(str(text)), flush=True)


def _complain(sentence):
    print(f"simnb: {visible(sentence)}", file=sys.stderr, flush=True)


def _show_warning(message, category, filename, lineno, file=None, line=None):
    _complain(_sentence(message))


def _sentence(error):
    """An exception or a warning in one line."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
