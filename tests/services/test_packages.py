import os
import shutil

import pytest
from tests.services import packages


def test_who_may_not_install_is_told_the_line_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda command, path: None)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with pytest.raises(SystemExit) as ended:
        packages.debian("memcached")
    assert ended.value.code == 2
    line = "sudo apt-get install --yes --no-install-recommends memcached"
    assert line in capsys.readouterr().err
