"""The vendor's Python API against a server: python api.py HOST PORT USER PASSWORD [CHECK]...

Each check is a function here, runs in a folder of its own and raises when something is not as the
vendor's client expects it. Without names all of them run.
"""

import datetime
import io
import sys
import threading
import time

from qumulo.lib.auth import Credentials
from qumulo.lib.identity_util import Identity
from qumulo.lib.request import RequestError
from qumulo.rest_client import RestClient

HOST, PORT, USER, PASSWORD = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]


def client():
    made = RestClient(HOST, PORT, timeout=30)
    made.login(USER, PASSWORD)
    return made


def refused(what, status, error_class=None):
    """Asserts that a call is refused in this way."""
    try:
        what()
    except RequestError as error:
        found = (error.status_code, error.error_class)
        assert found[0] == status, found
        assert error_class is None or found[1] == error_class, found
    else:
        raise AssertionError(f"expected {status} {error_class}, and it was done")


def write(rc, path, data, **more):
    return rc.fs.write_file(data_file=io.BytesIO(data), path=path, **more)


def read(rc, **more):
    buffer = io.BytesIO()
    rc.fs.read_file(buffer, **more)
    return buffer.getvalue()


def sign_in(rc, root):
    me = rc.auth.who_am_i()
    assert me["name"] == USER, me
    assert rc.version.numeric_version().count(".") >= 2
    wrong = RestClient(HOST, PORT, timeout=30)
    refused(lambda: wrong.login(USER, PASSWORD + "x"), 401)
    stranger = RestClient(HOST, PORT, Credentials("1:wrong"), timeout=30)
    refused(stranger.auth.who_am_i, 401)


def access_tokens(rc, root):
    made = rc.access_tokens.create(Identity(f"local:{USER}"))
    other = RestClient(HOST, PORT, Credentials(made.bearer_token), timeout=30)
    assert other.auth.who_am_i()["name"] == USER
    listed = [meta.id for page in rc.access_tokens.list() for meta in page.entries]
    assert made.id in listed, listed
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    assert rc.access_tokens.modify(made.id, expiration_time=later).expiration_time
    assert not rc.access_tokens.modify(made.id, enabled=False).enabled
    refused(other.auth.who_am_i, 401)
    rc.access_tokens.delete(made.id)
    refused(lambda: rc.access_tokens.get(made.id), 404)


def directories_and_files(rc, root):
    made = rc.fs.create_directory(name="d é#", dir_path=root)
    assert made["path"] == f"{root}/d é#/", made
    refused(lambda: rc.fs.create_directory(name="d é#", dir_path=root), 409, "fs_entry_exists_error")
    attributes, etag = rc.fs.create_file(name="x", dir_id=made["id"], with_etag=True)
    assert etag
    refused(lambda: rc.fs.create_file(name="x", dir_id=made["id"]), 409, "fs_entry_exists_error")
    by_path = rc.fs.get_file_attr(path=f"{root}/d é#/x")
    assert by_path["id"] == attributes["id"]
    refused(lambda: rc.fs.get_file_attr(path=f"{root}/none"), 404, "fs_no_such_entry_error")
    changed = rc.fs.set_file_attr(id_=attributes["id"], mode="0640")
    assert changed["mode"] == "0640", changed
    resolved = rc.fs.resolve_paths([attributes["id"]])
    assert resolved[0]["path"] == f"{root}/d é#/x", resolved
    rc.fs.create_symlink(name="s", target="x", dir_id=made["id"])
    rc.fs.create_link(name="hard", target=f"{root}/d é#/x", dir_id=made["id"])
    assert rc.fs.get_file_attr(id_=attributes["id"])["num_links"] == 2
    names = {entry["path"] for entry in rc.fs.tree_walk_preorder(path=root)}
    assert f"{root}/d é#/s" in names, names


def data(rc, root):
    attributes, etag = rc.fs.create_file(name="x", dir_path=root, with_etag=True)
    path, id_ = f"{root}/x", attributes["id"]
    attributes, etag = rc.fs.write_file(data_file=io.BytesIO(b"hello"), id_=id_, if_match=etag, with_etag=True)
    assert attributes["size"] == "5", attributes
    # An append: at the size that was read, if nobody else was there.
    attributes, appended = write(rc, path, b"world", offset=5, if_match=etag, with_etag=True)
    assert attributes["size"] == "10" and appended != etag
    refused(lambda: write(rc, path, b"lost", offset=5, if_match=etag), 412)
    assert read(rc, path=path) == b"helloworld"
    assert read(rc, id_=id_, offset=3, length=4) == b"lowo"
    assert read(rc, path=path, offset=8, length=100) == b"ld"
    assert read(rc, path=path, offset=100) == b""
    write(rc, path, b"!", offset=12)
    assert read(rc, path=path) == b"helloworld\0\0!"
    write(rc, path, b"short")
    assert read(rc, path=path) == b"short"
    rc.fs.set_file_attr(path=path, size="2")
    assert read(rc, path=path) == b"sh"
    large = bytes(range(256)) * 20_000
    write(rc, path, large)
    assert read(rc, path=path) == large
    refused(lambda: write(rc, f"{root}/none", b"x"), 404, "fs_no_such_entry_error")
    rc.fs.create_file(name="copy", dir_path=root)
    assert rc.fs.copy(source_path=path, target_path=f"{root}/copy")
    assert read(rc, path=f"{root}/copy") == large


def pages(rc, root):
    for number in range(25):
        rc.fs.create_file(name=f"f{number}", dir_path=root)
    every = [entry["name"] for entry in rc.fs.enumerate_entire_directory(path=root, page_size=4)]
    assert sorted(every) == sorted(f"f{number}" for number in range(25)), every
    seen = []
    for page in rc.fs.read_entire_directory(path=root, page_size=4):
        for entry in page["files"]:
            seen.append(entry["name"])
            rc.fs.delete(id_=entry["id"])
    assert sorted(seen) == sorted(every), seen
    assert list(rc.fs.enumerate_entire_directory(path=root, page_size=4)) == []


def renames(rc, root):
    rc.fs.create_directory(name="from", dir_path=root)
    target = rc.fs.create_directory(name="to", dir_path=root)
    made = rc.fs.create_file(name="x", dir_path=f"{root}/from")
    moved = rc.fs.rename(name="y", source=f"{root}/from/x", dir_id=target["id"], clobber=False)
    assert (moved["id"], moved["path"]) == (made["id"], f"{root}/to/y"), moved
    again = lambda: rc.fs.rename(name="y", source=f"{root}/from/x", dir_id=target["id"], clobber=False)
    refused(again, 404, "fs_no_such_entry_error")
    other = rc.fs.create_file(name="x", dir_path=f"{root}/from")
    refused(again, 409, "fs_entry_exists_error")
    rc.fs.rename(name="y", source=f"{root}/from/x", dir_id=target["id"], clobber=True)
    assert rc.fs.get_file_attr(path=f"{root}/to/y")["id"] == other["id"]
    refused(lambda: rc.fs.get_file_attr(id_=made["id"]), 404)
    refused(lambda: rc.fs.rename(name="in", source=root, dir_path=f"{root}/to"), 409, "fs_directory_cycle_error")
    # Of two who claim one file exactly one wins.
    for number in range(10):
        rc.fs.create_file(name=f"claim{number}", dir_path=root)
        results = []

        def claim(own, target):
            try:
                own.fs.rename(name=target, source=f"{root}/claim{number}", dir_path=root)
                results.append("won")
            except RequestError as error:
                results.append(error.error_class)

        claims = [threading.Thread(target=claim, args=(client(), f"{number}-{who}")) for who in range(3)]
        for thread in claims:
            thread.start()
        for thread in claims:
            thread.join()
        assert sorted(results) == ["fs_no_such_entry_error"] * 2 + ["won"], results


def notify(rc, root):
    watcher = client()
    types = ["child_file_added", "child_file_moved_to", "child_file_removed", "self_removed"]
    rc.fs.create_directory(name="in", dir_path=root)
    begin = time.monotonic()
    events = watcher.fs.get_change_notify_listener(recursive=False, path=f"{root}/in", type_filter=types)
    assert events.started()
    # Much longer, and the headers shared a TLS record with the first line.
    assert time.monotonic() - begin < 5, time.monotonic() - begin
    made = rc.fs.create_file(name="aside", dir_path=root)
    rc.fs.rename(name="a.txt", source=f"{root}/aside", dir_path=f"{root}/in")
    batch = next(events)
    assert [(event["type"], event["path"]) for event in batch] == [("child_file_moved_to", "a.txt")], batch
    assert batch[0]["spine"][-1] == made["id"], batch
    # Each comes by itself, not with the next one or a keepalive.
    for number in range(5):
        begin = time.monotonic()
        rc.fs.create_file(name=f"n{number}", dir_path=f"{root}/in")
        assert next(events)[0]["path"] == f"n{number}"
        assert time.monotonic() - begin < 5
    tree = client()
    all_events = tree.fs.get_change_notify_listener(recursive=True, path=root)
    assert all_events.started()
    rc.fs.delete(path=f"{root}/in/a.txt")
    seen = next(all_events)
    assert (seen[0]["type"], seen[0]["path"]) == ("child_file_removed", "in/a.txt"), seen
    refused(lambda: client().fs.get_change_notify_listener(False, ["nothing"], path=root), 400)
    assert rc.fs.get_notify_settings()["recursive_mode"] == "ENABLED"


def deletes(rc, root):
    rc.fs.create_directory(name="d", dir_path=root)
    rc.fs.create_file(name="x", dir_path=f"{root}/d")
    refused(lambda: rc.fs.delete(path=f"{root}/d"), 409, "fs_directory_not_empty_error")
    rc.fs.delete(path=f"{root}/d/x")
    refused(lambda: rc.fs.delete(path=f"{root}/d/x"), 404, "fs_no_such_entry_error")
    rc.fs.delete(path=f"{root}/d")
    tree = rc.fs.create_directory(name="tree", dir_path=root)
    for outer in range(3):
        rc.fs.create_directory(name=str(outer), dir_path=f"{root}/tree")
        for inner in range(20):
            rc.fs.create_file(name=str(inner), dir_path=f"{root}/tree/{outer}")
    sums = rc.fs.read_dir_aggregates(path=f"{root}/tree")
    assert (sums["total_files"], sums["total_directories"]) == ("60", "3"), sums
    rc.tree_delete.create_job(tree["id"])
    while True:
        try:
            rc.tree_delete.get_job(tree["id"])
        except RequestError as error:
            assert error.error_class == "http_not_found_error", error
            break
        time.sleep(0.1)
    refused(lambda: rc.fs.get_file_attr(path=f"{root}/tree"), 404, "fs_no_such_entry_error")


def snapshots(rc, root):
    rc.fs.create_file(name="x", dir_path=root)
    write(rc, f"{root}/x", b"before")
    taken = rc.snapshot.create_snapshot(path=root, name="check")
    assert taken["name"] == f"{taken['id']}_check", taken
    write(rc, f"{root}/x", b"after")
    rc.fs.create_file(name="new", dir_path=root)
    assert read(rc, path=f"{root}/x", snapshot=taken["id"]) == b"before"
    there = rc.fs.enumerate_entire_directory(path=root, page_size=10, snapshot=taken["id"])
    assert [entry["name"] for entry in there] == ["x"]
    listed = [entry["id"] for entry in rc.snapshot.list_snapshots()["entries"]]
    assert taken["id"] in listed, listed
    newer = rc.snapshot.create_snapshot(path=root)
    diff = list(rc.snapshot.get_all_snapshot_tree_diff(newer["id"], taken["id"]))
    changes = {(entry["op"], entry["path"]) for page in diff for entry in page["entries"]}
    assert ("CREATE", f"{root}/new") in changes and ("MODIFY", f"{root}/x") in changes, changes
    for snapshot in (taken, newer):
        rc.snapshot.delete_snapshot(snapshot["id"])
    refused(lambda: rc.snapshot.get_snapshot(taken["id"]), 404)


def statistics(rc, root):
    space = rc.fs.read_fs_stats()
    assert int(space["total_size_bytes"]) >= int(space["free_size_bytes"]) > 0, space


CHECKS = [
    sign_in, access_tokens, directories_and_files, data, pages, renames, notify, deletes, snapshots, statistics,
]


def main():
    wanted = sys.argv[5:] or [check.__name__ for check in CHECKS]
    rc = client()
    for check in CHECKS:
        if check.__name__ in wanted:
            name = f"api-{check.__name__}"
            rc.fs.create_directory(name=name, dir_path="/")
            check(rc, f"/{name}")
            print(f"{check.__name__}: ok", flush=True)


main()
