"""Files, folders and patterns give every picture once, in natural order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fissura.sources import IMAGE_SUFFIXES, find_images, natural_key
from fissura.types import InputError


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names(paths: list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def test_folders_come_in_natural_order_without_the_rest(tmp_path):
    make(tmp_path, "img10.jpg", "img2.JPG", "IMG1.png", "notes.txt", ".hidden.jpg", "sub/a.jpg")
    assert names(find_images([tmp_path]), tmp_path) == ["IMG1.png", "img2.JPG", "img10.jpg"]
    deep = names(find_images([tmp_path], recursive=True), tmp_path)
    assert deep == ["IMG1.png", "img2.JPG", "img10.jpg", "sub/a.jpg"]


def test_every_suffix_is_found(tmp_path):
    make(tmp_path, *(f"a{suffix}" for suffix in IMAGE_SUFFIXES))
    assert {path.suffix for path in find_images([tmp_path])} == IMAGE_SUFFIXES


def test_patterns(tmp_path, monkeypatch):
    make(tmp_path, "a/x2.jpg", "a/x10.jpg", "a/y.txt", "a/b/x1.png", "c [1].jpg")
    monkeypatch.chdir(tmp_path)
    assert names(find_images(["a/x*.jpg"]), Path()) == ["a/x2.jpg", "a/x10.jpg"]
    assert names(find_images(["**/*.png"]), Path()) == ["a/b/x1.png"]
    found = find_images([str(tmp_path / "**")])
    assert names(found, tmp_path) == ["a/b/x1.png", "a/x2.jpg", "a/x10.jpg", "c [1].jpg"]
    assert find_images(["c [1].jpg"]) == [Path("c [1].jpg")]


def test_each_file_once_in_the_order_given(tmp_path):
    make(tmp_path, "b.jpg", "a.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    sources = [
        tmp_path / "b.jpg",
        tmp_path,
        str(tmp_path / "*.jpg"),
        f"{tmp_path}/../{tmp_path.name}/a.jpg",
    ]
    assert names(find_images(sources), tmp_path) == ["b.jpg", "a.jpg"]


def test_things_named_like_pictures_are_found_and_then_refused(tmp_path):
    make(tmp_path, "good.jpg", "folder.jpg/inner.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "dead.jpg").symlink_to("nowhere")
    found = names(find_images([tmp_path]), tmp_path)
    assert found == ["dead.jpg", "folder.jpg", "good.jpg", "pipe.png"]
    deep = names(find_images([tmp_path], recursive=True), tmp_path)
    assert deep == ["dead.jpg", "folder.jpg/inner.png", "good.jpg", "pipe.png"]


def test_a_file_given_by_name_comes_whatever_its_suffix(tmp_path):
    make(tmp_path, "scan.001")
    assert find_images([tmp_path / "scan.001"]) == [tmp_path / "scan.001"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("none.jpg", "no such file"),
        ("empty", "holds no picture"),
        ("*.gif", "matches"),
        ("", "empty"),
    ],
)
def test_a_source_without_pictures_is_named(tmp_path, monkeypatch, source, words):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words) as caught:
        find_images([source])
    assert source in str(caught.value)


@given(st.lists(st.text(st.characters(exclude_characters="/\0."), min_size=1, max_size=8)))
def test_natural_order_never_fails(parts):
    paths = [Path(part) for part in parts]
    ordered = sorted(paths, key=natural_key)
    paths.reverse()
    assert ordered == sorted(paths, key=natural_key)
