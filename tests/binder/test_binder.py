"""What repo2docker makes of ``binder/``, and its two scripts. ``make binder`` rehearses all of it."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.binder.checkout import ROOT, copy_to
from tests.binder.memory import Limited, parents

BINDER = ROOT / "binder"
LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")

# Binder runs on Linux, and the scripts are bash's.
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="binder/ is for Linux")


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def dockerfile_of(folder):
    """The lines of the Dockerfile that repo2docker writes, with the names of files as they are on disk."""
    # The user that mybinder.org asks for; without one it is who runs the tests.
    command = [
        sys.executable,
        "-m",
        "repo2docker",
        "--no-build",
        "--debug",
        "--user-id=1000",
        "--user-name=jovyan",
    ]
    done = subprocess.run([*command, "."], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = re.sub(r"(build_script_files/)(\S+)", lambda m: m[1] + unescape(m[2]), done.stdout)
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def unescape(name):
    return re.sub(r"-([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), name)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    # An environment made for an earlier release may lack it.
    if importlib.util.find_spec("repo2docker") is None:
        pytest.skip('no repo2docker: pip install "simnb[test]"')
    folder = tmp_path_factory.mktemp("binder") / "simnb"
    assert copy_to(folder) > 100
    return folder


@pytest.fixture(scope="module")
def dockerfile(checkout):
    return dockerfile_of(checkout)


def place(dockerfile, part):
    """Where the one line that holds this is."""
    (line,) = [i for i, line in enumerate(dockerfile) if part in line]
    return line


def test_a_checkout_is_copied_without_what_was_built_in_it(checkout):
    assert (checkout / "simnb" / "__init__.py").read_bytes() == (ROOT / "simnb" / "__init__.py").read_bytes()
    assert not {".git", ".venv", "build"} & {path.name for path in checkout.iterdir()}
    assert not list(checkout.rglob("__pycache__"))


def test_the_environment_has_the_python_that_runtime_txt_names(dockerfile):
    (version,) = re.fullmatch(r"python-(3\.\d+)\n", (BINDER / "runtime.txt").read_text()).groups()
    assert any(re.search(rf"/environment\.py-{re.escape(version)}\S*\.lock", line) for line in dockerfile)
    assert project()["requires-python"] == f">={version}"  # the lowest, which is tested on its own


def test_requirements_are_installed_from_the_root_of_the_checkout_once_it_is_there(dockerfile):
    (install,) = [line for line in dockerfile if " pip " in line or "/pip " in line]
    wanted = '${KERNEL_PYTHON_PREFIX}/bin/pip install --no-cache-dir -r "binder/requirements.txt"'
    assert install == f"RUN {wanted}"
    places = [
        place(dockerfile, part)
        for part in ("WORKDIR", " src/ ${REPO_DIR}/", wanted, "RUN ./binder/postBuild")
    ]
    assert places == sorted(places)
    assert dockerfile[places[0]] == "WORKDIR ${REPO_DIR}"
    # As that user, who can write there.
    users = [line for line in dockerfile[: places[2]] if line.startswith("USER")]
    assert users[-1] == "USER ${NB_USER}"


def test_the_requirements_are_the_package_and_an_extra_that_it_has():
    constraints, line = (BINDER / "requirements.txt").read_text().splitlines()
    assert constraints == "-c ../constraints.txt"
    assert (BINDER / constraints.removeprefix("-c ")).is_file()
    (extra,) = re.fullmatch(r"\.\[(\w+)\]", line).groups()
    needs = project()["optional-dependencies"][extra]
    assert "widgets" in re.search(r"simnb\[(.*)\]", " ".join(needs))[1].split(",")
    assert [need for need in needs if need.startswith("jupyterlab")]


def test_post_build_runs_and_start_wraps_what_the_image_is_asked_to_run(dockerfile):
    assert "RUN ./binder/postBuild" in dockerfile
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in dockerfile
    assert place(dockerfile, "RUN ./binder/postBuild") < place(dockerfile, "R2D_ENTRYPOINT")
    assert any(line.startswith("ENTRYPOINT") and "repo2docker-entrypoint" in line for line in dockerfile)
    for name in ("postBuild", "start"):
        assert os.access(BINDER / name, os.X_OK)
        assert (BINDER / name).read_text().startswith("#!/bin/bash\n")


def test_files_at_the_root_change_nothing(checkout, dockerfile):
    intruders = {
        "requirements.txt": "numpy<1\n",
        "environment.yml": "dependencies: [python=3.8]\n",
        "Dockerfile": "FROM scratch\n",
        "runtime.txt": "python-3.9\n",
        "postBuild": "#!/bin/bash\nexit 1\n",
    }
    copied = [line.split()[2] for line in dockerfile if line.startswith("COPY") and " src/" in line]
    assert copied == ["src/binder/requirements.txt", "src/"]
    try:
        for name, text in intruders.items():
            (checkout / name).write_text(text)
        assert dockerfile_of(checkout) == dockerfile
    finally:
        for name in intruders:
            (checkout / name).unlink()


def start(*command, **environment):
    environment["PATH"] = os.environ["PATH"]
    return subprocess.run([BINDER / "start", *command], env=environment, capture_output=True, text=True)


PRINT_ENVIRONMENT = (sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))")


def test_start_keeps_libraries_from_starting_a_thread_for_each_processor_of_the_machine():
    found = json.loads(start(*PRINT_ENVIRONMENT).stdout)
    assert {found[name] for name in LIMITS} == {"2"}
    assert found["TF_CPP_MIN_LOG_LEVEL"] == "3"


@pytest.mark.parametrize("name", [*LIMITS, "TF_CPP_MIN_LOG_LEVEL"])
def test_start_keeps_what_is_set(name):
    found = json.loads(start(*PRINT_ENVIRONMENT, **{name: "7"}).stdout)
    assert [key for key in (*LIMITS, "TF_CPP_MIN_LOG_LEVEL") if found[key] == "7"] == [name]


def test_start_becomes_the_command_with_its_arguments_and_its_exit_status():
    say = "import os, sys; print(sys.argv[1:], os.getppid() == int(sys.argv[1])); sys.exit(7)"
    done = start(sys.executable, "-c", say, str(os.getpid()), "two words", "")
    assert done.stdout == f"{[str(os.getpid()), 'two words', '']} True\n"
    assert done.returncode == 7
    assert done.stderr == ""


def post_build(**environment):
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    environment = {"HOME": os.environ.get("HOME", "/"), "PATH": path, **environment}
    return subprocess.run([BINDER / "postBuild"], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_post_build_fails_and_says_why_where_cifar10_cannot_be_had(tmp_path):
    (tmp_path / "file").touch()
    done = post_build(TFDS_DATA_DIR=str(tmp_path / "file"))
    assert done.returncode == 1
    assert "cifar10: not prepared: data sets cannot be stored in" in done.stderr
    assert "is a file" in done.stderr


def test_post_build_stops_at_the_first_thing_that_fails_and_removes_the_archive_in_an_image_only(tmp_path):
    # A python that writes down what it is asked, and fails at one thing.
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "python"
    fake.write_text('#!/bin/bash\necho "$*" >> "$ASKED"\n[[ "$*" != *"$FAILS"* ]]\n')
    fake.chmod(0o755)
    archive = tmp_path / "tensorflow_datasets" / "downloads" / "cifar.tar.gz"
    archive.parent.mkdir(parents=True)
    archive.touch()
    (tmp_path / "tensorflow_datasets" / "cifar10").touch()
    asked = tmp_path / "asked"
    options = {"PATH": f"{fake.parent}:{os.environ['PATH']}", "ASKED": str(asked), "HOME": str(tmp_path)}
    assert post_build(FAILS="simnb.data", REPO_DIR=str(tmp_path), **options).returncode != 0
    assert asked.read_text() == "-m simnb.data cifar10\n"
    assert post_build(FAILS="matplotlib", **options).returncode != 0
    assert post_build(FAILS="nothing", **options).returncode == 0
    assert archive.exists()
    assert post_build(FAILS="nothing", REPO_DIR=str(tmp_path), **options).returncode == 0
    assert not archive.exists()
    assert (tmp_path / "tensorflow_datasets" / "cifar10").exists()


def launch_links():
    """(file, link) of every link to mybinder.org that readers see."""
    files = [
        ROOT / "README.md",
        ROOT / "notebooks" / "README.md",
        *sorted((ROOT / "notebooks").glob("*.ipynb")),
    ]
    found = []
    for file in filter(os.path.exists, files):
        text = file.read_text()
        if file.suffix == ".ipynb":
            text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
        found += [(file.name, link) for link in re.findall(r"https://mybinder\.org/v2/[^\s)>\"\]]*", text)]
    return found


def test_launch_links_open_a_notebook_of_this_repository_in_jupyterlab():
    repository = urlsplit(project()["urls"]["Repository"])
    assert repository.netloc == "github.com"
    links = launch_links()
    assert "README.md" in {name for name, _ in links}
    for name, link in links:
        parts = urlsplit(link)
        assert parts.path == f"/v2/gh{repository.path}/HEAD", link
        (path,) = parse_qs(parts.query, strict_parsing=True).pop("urlpath")
        assert path.startswith("lab/tree/notebooks/"), link
        notebook = ROOT / path.removeprefix("lab/tree/")
        assert notebook.suffix == ".ipynb", link
        assert notebook.is_file(), link
        assert not name.endswith(".ipynb") or notebook.name == name, f"{name} opens {notebook.name}"


ALLOCATE = "import sys, time; x = b'1' * (int(sys.argv[1]) * 10**6); time.sleep(float(sys.argv[2]))"


@pytest.mark.parametrize("by_kernel", [True, False])
def test_what_holds_too_much_memory_is_killed_and_what_does_not_is_measured(by_kernel):
    with Limited(150, by_kernel=by_kernel) as limit:
        status = limit.start([sys.executable, "-c", ALLOCATE, "50", "0.8"]).wait()
    assert (status, limit.exceeded) == (0, False)
    assert 50 < limit.peak < 100
    with Limited(150, by_kernel=by_kernel) as limit:
        status = limit.start([sys.executable, "-c", ALLOCATE, "400", "10"]).wait()
    assert (status, limit.exceeded) == (-9, True)
    assert by_kernel or limit.by == "looking on"


def test_children_count_and_nothing_is_left_running(tmp_path):
    spawn = "import subprocess, sys, time; subprocess.Popen([sys.executable, *sys.argv[1:]]); time.sleep(10)"
    with Limited(150, by_kernel=False) as limit:
        started = limit.start([sys.executable, "-c", spawn, "-c", ALLOCATE, "400", "10"])
        assert started.wait(timeout=9) == -9
    assert limit.exceeded
    with Limited(150) as limit:
        started = limit.start([sys.executable, "-c", "import time; time.sleep(60)"])
    assert started.returncode == -9
    assert not limit.exceeded


def test_a_control_group_is_looked_for_in_ours_or_where_the_system_divides_memory(tmp_path):
    mounts, owned = tmp_path / "mounts", tmp_path / "owned"
    first, second = tmp_path / "memory", tmp_path / "unified"
    mounts.write_text(
        f"tmpfs {tmp_path} tmpfs rw 0 0\ncgroup {tmp_path}/cpu cgroup rw,cpu 0 0\n"
        f"cgroup {first} cgroup rw,memory 0 0\ncgroup2 {second} cgroup2 rw 0 0\n"
    )
    owned.write_text("5:cpu:/\n4:memory:/ours\n0::/user/session\n")
    (first / "ours").mkdir(parents=True)
    (second / "user" / "session").mkdir(parents=True)
    for folder, divided in (("user/session", ""), ("user", "cpu memory"), (".", "cpu")):
        (second / folder / "cgroup.subtree_control").write_text(divided)
    assert list(parents(mounts, owned)) == [(first / "ours", 1), (second / "user", 2)]
    owned.write_text("4:memory:/named/by/the/host\n")
    assert list(parents(mounts, owned)) == [(first, 1)]
    assert list(parents(tmp_path / "gone", owned)) == []  # as on macOS
