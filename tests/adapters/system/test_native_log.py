"""TensorFlow and Keras are imported whole, also where another thread is about to."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import python

SLOW = """
import time
time.sleep(0.3)
ready = True
class config:
    list_physical_devices = staticmethod(lambda kind: [])
"""
TWO_THREADS = """
import sys, threading, time
sys.path.insert(0, sys.argv[1])
from adapters.system.native_log import import_keras, import_tensorflow
name = sys.argv[2]
if name == "tf_keras":
    import_tensorflow()
threading.Thread(target=lambda: __import__(name)).start()
while name not in sys.modules:
    time.sleep(0.001)
found = import_tensorflow() if name == "tensorflow" else import_keras()
print(found.__name__, getattr(found, "ready", False))
"""


@pytest.mark.parametrize("name", ["tensorflow", "tf_keras"])
def test_what_another_thread_has_begun_to_import_is_waited_for(tmp_path: Path, name: str) -> None:
    for module in ("tensorflow", "tf_keras"):
        (tmp_path / f"{module}.py").write_text(SLOW)
    ran = python(TWO_THREADS, tmp_path, name)
    assert (ran.exit_code, ran.stdout.split()) == (0, [name, "True"]), ran.stderr


def test_a_package_that_tensorflow_needs_is_named_and_not_the_extra(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("import a_package_that_is_not_there")
    code = "import sys; sys.path.insert(0, sys.argv[1]); from adapters.system import native_log as log"
    ran = python(f"{code}; log.import_tensorflow()", tmp_path)
    assert ran.exit_code != 0
    assert "No module named 'a_package_that_is_not_there'" in ran.stderr
    assert "[train]" not in ran.stderr
