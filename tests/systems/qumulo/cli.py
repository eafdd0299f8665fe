"""The vendor's command line `qq` against a server: python cli.py QQ HOST PORT USER PASSWORD.

Follows the life of a spool file, and looks at what `qq` prints and how it exits.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

QQ, HOST, PORT, USER, PASSWORD = sys.argv[1:6]
FOLDER = tempfile.TemporaryDirectory(prefix="qq-")
HOME = FOLDER.name


def words(arguments):
    # The script's first line names a Python that may have moved since.
    return [sys.executable, QQ, "--host", HOST, "--port", PORT, "--timeout", "30", *arguments]


def environment():
    return {**os.environ, "XDG_CONFIG_HOME": HOME, "HOME": HOME}


def qq(*arguments, fails=None, text=None):
    """Runs `qq`. Returns what it prints; `fails` is what its error must hold."""
    done = subprocess.run(
        words(arguments), env=environment(), input=text, capture_output=True, text=True, timeout=120
    )
    said = f"qq {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    if fails is None:
        assert done.returncode == 0, said
        assert "Traceback" not in done.stderr, said
    else:
        assert done.returncode == 1 and fails in done.stderr and "Traceback" not in done.stderr, said
    return done.stdout


def file(name, content):
    path = os.path.join(HOME, name)
    with open(path, "w", encoding="utf-8") as out:
        out.write(content)
    return path


def sign_in():
    assert "Qumulo Core" in qq("version")
    qq("who_am_i", fails="Error 401")
    qq("login", "-u", USER, "-p", PASSWORD + "x", fails="Error 401")
    assert qq("login", "-u", USER, "-p", PASSWORD) == ""
    assert USER in qq("who_am_i")
    assert json.loads(qq("node_state_get"))["state"] == "ACTIVE"


def write_and_read():
    qq("fs_create_dir", "--path", "/", "--name", "qq")
    qq("fs_create_dir", "--path", "/", "--name", "qq", fails="Error 409: fs_entry_exists_error")
    qq("fs_create_file", "--path", "/qq", "--name", "a.txt")
    hello, world = file("f", "hello"), file("g", "world")
    qq("fs_write", "--path", "/qq/a.txt", "--file", hello)
    qq("fs_write", "--path", "/qq/a.txt", "--file", world, "--offset", "5")
    assert qq("fs_read", "--path", "/qq/a.txt", "--stdout") == "helloworld"
    assert qq("fs_read", "--path", "/qq/a.txt", "--offset", "3", "--length", "4", "--stdout") == "lowo"
    qq("fs_write", "--path", "/qq/b c é.txt", "--create", "--file", hello)
    assert json.loads(qq("fs_file_get_attr", "--path", "/qq/b c é.txt"))["size"] == "5"
    qq("fs_read", "--path", "/qq/none", "--stdout", fails="Error 404: fs_no_such_entry_error")
    qq("fs_copy", "/qq/a.txt", "/qq/d.txt", "--no-attributes", "--no-named-streams", "--quiet")
    assert qq("fs_read", "--path", "/qq/d.txt", "--stdout") == "helloworld"


def list_and_rename():
    for number in range(4):
        qq("fs_create_file", "--path", "/qq/", "--name", f"n{number}")
    printed, names = qq("fs_read_dir", "--path", "/qq", "--page-size", "3"), []
    decoder = json.JSONDecoder()
    while printed.strip():
        page, end = decoder.raw_decode(printed.lstrip())
        printed = printed.lstrip()[end:]
        names += [entry["name"] for entry in page["files"]]
    assert sorted(names) == ["a.txt", "b c é.txt", "d.txt", "n0", "n1", "n2", "n3"], names
    qq("fs_create_dir", "--path", "/qq", "--name", "done")
    qq("fs_rename", "--path", "/qq/done", "--source", "/qq/a.txt", "--name", "c.txt")
    again = ("fs_rename", "--path", "/qq/done", "--source", "/qq/d.txt", "--name", "c.txt")
    qq(*again, fails="Error 409: fs_entry_exists_error")
    qq(*again, "--clobber")
    assert "/qq/done/c.txt" in qq("fs_walk_tree", "--path", "/")
    sums = json.loads(qq("fs_read_dir_aggregates", "--path", "/qq"))
    assert sums["total_files"] == "6", sums


def watch():
    watching = subprocess.Popen(
        words(["fs_notify", "--path", "/qq", "--json"]),
        env=environment(),
        # Its end is what ends `qq` in good order.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # It says nothing when it begins, so files are made until it has told of one.
    deadline, number = time.monotonic() + 60, 0
    lines = []
    os.set_blocking(watching.stdout.fileno(), False)
    while "child_file_added" not in "".join(lines):
        assert time.monotonic() < deadline, lines
        qq("fs_create_file", "--path", "/qq", "--name", f"w{number}")
        number += 1
        try:
            lines.append(os.read(watching.stdout.fileno(), 65536).decode())
        except BlockingIOError:
            pass
    os.set_blocking(watching.stdout.fileno(), True)
    _, errors = watching.communicate(timeout=30)
    assert watching.returncode == 0, errors


def snapshots_and_deletes():
    taken = json.loads(qq("snapshot_create_snapshot", "--path", "/qq"))
    assert str(taken["id"]) in qq("snapshot_list_statuses")
    qq("fs_delete", "--path", "/qq/done/c.txt")
    content = qq("fs_read", "--path", "/qq/done/c.txt", "--snapshot", str(taken["id"]), "--stdout")
    assert content == "helloworld", content
    qq("fs_delete", "--path", "/qq", fails="Error 409: fs_directory_not_empty_error")
    qq("tree_delete_create", "/qq", "--force")
    deadline = time.monotonic() + 60
    while "/qq/" in qq("tree_delete_list"):
        assert time.monotonic() < deadline
    qq("fs_file_get_attr", "--path", "/qq", fails="Error 404: fs_no_such_entry_error")
    qq("snapshot_delete_snapshot", "--id", str(taken["id"]))
    assert "Free capacity" in qq("fs_get_stats")
    assert "ENABLED" in qq("fs_get_notify_settings")
    made = qq("raw", "POST", "/v1/files/%2F/entries/", text='{"name":"r","action":"CREATE_DIRECTORY"}')
    assert '"/r/"' in made, made
    qq("raw", "GET", "/v1/no/such/call", fails="Error 404")


for check in (sign_in, write_and_read, list_and_rename, watch, snapshots_and_deletes):
    check()
    print(f"{check.__name__}: ok", flush=True)
