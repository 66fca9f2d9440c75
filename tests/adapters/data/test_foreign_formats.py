"""Label files of other tools: what is taken for what, what is left out, and what is refused by its place."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from dataset_files import touch, write
from tiny_videos import render_video

from adapters.data import Dataset, Example, ReadOptions, detect_format, export_dataset, lost_in_export, read_dataset
from adapters.data.examples import PreparedFrames
from adapters.data.formats.frame_ranges import FrameRanges
from adapters.errors import DatasetError

Fact = tuple[str, tuple[str, ...], float | None, float | None, str | None]


@pytest.fixture
def real(shared: Path) -> Path:
    """Files as other tools wrote them."""
    return shared / "media" / "real" / "annotations"


def facts(dataset: Dataset) -> list[Fact]:
    def near(value: float | None) -> float | None:
        return None if value is None else round(value, 6)

    return [
        (item.path.name, item.labels, near(item.start_seconds), near(item.end_seconds), item.split)
        for item in dataset.examples
    ]


def read(path: Path, **options: Any) -> list[Fact]:
    return facts(read_dataset(path, options=ReadOptions(**options)))


def label_studio(*results: dict[str, Any], video: str = "a.mp4", **annotation: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"video": video}, "annotations": [{"result": list(results), **annotation}]}


def timeline(label: str, start: int, end: int) -> dict[str, Any]:
    return {"type": "timelinelabels", "value": {"ranges": [{"start": start, "end": end}], "timelinelabels": [label]}}


def choice(*labels: str) -> dict[str, Any]:
    return {"type": "choices", "value": {"choices": list(labels)}}


# Label Studio


def test_a_timeline_counts_from_one_at_the_rate_of_the_video(tmp_path: Path) -> None:
    render_video(tmp_path / "a.mp4", "warm", 0, seconds=3, fps=20)
    path = write(tmp_path / "a.json", [label_studio(timeline("x", 1, 20), timeline("y", 21, 60))])
    assert detect_format(path)[0] == "label_studio"
    # Frames 1 to 20 are the first second: the first frame is shown at 0, and the 21st at 1 s.
    assert read(path) == [("a.mp4", ("x",), 0, 1, None), ("a.mp4", ("y",), 1, 3, None)]
    assert read(path, frame_rate=10)[0][2:4] == (0, 2)
    # One click in the editor is a range of one frame; a model's range that counts from 0 begins with the first frame.
    write(path, [label_studio(timeline("x", 20, 20), timeline("y", 0, 20))])
    assert [clip[2:4] for clip in read(path)] == [(0.95, 1), (0, 1)]


def test_choices_are_of_the_whole_video_and_uploads_are_found(tmp_path: Path) -> None:
    touch(tmp_path, "videos/a.mp4", "videos/b/c.mp4")
    tasks = [
        label_studio(choice("x"), video="/data/upload/29/1a2b3c4d-a.mp4"),
        label_studio(choice("x", "y"), video="/data/local-files/?d=mount/b/c.mp4"),
        label_studio(
            {"type": "labels", "value": {"start": 0.5, "end": 2, "labels": ["y"]}}, video="s3://bucket/b/c.mp4"
        ),
    ]
    made = read_dataset(write(tmp_path / "a.json", tasks), options=ReadOptions(videos=tmp_path / "videos"))
    assert facts(made) == [
        ("a.mp4", ("x",), None, None, None),
        ("c.mp4", ("x", "y"), None, None, None),
        ("c.mp4", ("y",), 0.5, 2, None),
    ]
    assert all(item.path.is_file() for item in made)


def test_of_several_annotations_the_ground_truth_or_the_newest_counts(tmp_path: Path) -> None:
    def task(**more: Any) -> dict[str, Any]:
        old = {"result": [choice("old")], "updated_at": "2026-01-01T00:00:00Z", **more}
        new = {"result": [choice("new")], "updated_at": "2026-01-02T00:00:00Z"}
        skipped = {"result": [choice("no")], "updated_at": "2026-01-03T00:00:00Z", "was_cancelled": True}
        return {"data": {"video": "a.mp4"}, "annotations": [old, new, skipped]}

    made = read_dataset(write(tmp_path / "a.json", [task()]))
    assert made.labels == ("new",)
    assert "1 tasks have several annotations" in " ".join(made.notes)
    assert read_dataset(write(tmp_path / "b.json", [task(ground_truth=True)])).labels == ("old",)


@pytest.mark.parametrize(
    "task, term",
    [
        (label_studio(timeline("x", -1, 5)), "task 1.*from 1"),
        (label_studio(timeline("x", 9, 5)), "task 1.*from 1"),
        (label_studio(choice("x"), video="../../x\0.mp4"), "that are not on a video"),
        (label_studio({"type": "choices"}), "task 1.*type and a value"),
        ({"data": {"video": "a.mp4"}, "annotations": {}}, "task 1.*list"),
        (label_studio({"type": "labels", "value": {"start": 9, "end": 5, "labels": ["y"]}}), "task 1.*after"),
        (label_studio({"type": "choices", "value": {"choices": []}}), "without a label"),
    ],
)
def test_wrong_tasks_are_named(tmp_path: Path, task: dict[str, Any], term: str) -> None:
    touch(tmp_path, "a.mp4")
    with pytest.raises(DatasetError, match=f"a.json.*{term}"):
        read_dataset(write(tmp_path / "a.json", [task]), options=ReadOptions(frame_rate=25))


@pytest.mark.parametrize(
    "name, term",
    [
        # Its one annotation with boxes on an image was rejected in the review, so nothing of it counts.
        ("test_export_csv_csv_test.json", "2 annotations that were skipped or rejected"),
        # A choice on a text: the task has no video, so its choice is not a label of one.
        ("test_export_csv_csv_test_history.json", "1 labels of type 'choices' that are not on a video or a picture"),
        ("test_export_csv_csv_test2.json", "1 labels of type 'choices' that are not on a video or a picture"),
        # Boxes and polygons on images.
        ("test_export_json_min_data.json", "1 labels of type 'polygonlabels', which are not of a whole picture"),
        ("test_export_json_min_data_repeater.json", "1 labels of type 'taxonomy' that are not on a video or a picture"),
        ("test_export_yolo_data.json", "4 labels of type 'rectanglelabels' that are not on a video or a picture"),
        ("test_export_yolo_data_obb.json", "25 labels of type 'rectanglelabels' that are not on a video or a picture"),
    ],
)
def test_real_exports_without_labels_of_videos_say_what_they_hold(real: Path, name: str, term: str) -> None:
    path = real / "label_studio" / name
    assert detect_format(path)[0] == "label_studio"
    with pytest.raises(DatasetError, match=f"contains no usable labels.*{term}"):
        read_dataset(path)


# CVAT


def test_real_tracks_last_while_their_object_is_inside(real: Path) -> None:
    """Track 0 is inside at frame 10 and outside at 13; track 2 is inside at 13 and outside at 16.

    Track 1 is inside at frame 10 and outside at 13 too. Frames are those of the video, though its task has every third.
    """
    path = real / "cvat_dataset" / "for_video" / "annotations.xml"
    made = read_dataset(path, options=ReadOptions(frame_rate=10))
    assert facts(made) == [("t.mp4", ("klhg", "II"), 1.0, 1.3, None), ("t.mp4", ("II",), 1.3, 1.6, None)]
    assert made.labels == ("klhg", "z U k", "II")  # in the order of the task, with the one that is not used
    with pytest.raises(DatasetError, match=r"rate of a video.*t.mp4"):
        read_dataset(path)


@pytest.mark.parametrize("name", ["export_project/annotations.xml", "export_task/train.xml"])
def test_real_images_with_shapes_alone_have_no_labels_of_the_whole(real: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="'box' of images, which are not labels of the whole image"):
        read_dataset(real / "cvat_dataset" / "for_images" / name)


def test_tags_of_frames_in_a_row_are_one_clip(tmp_path: Path) -> None:
    def image(frame: int, tag: str) -> str:
        inner = f'<tag label="{tag}"/>' if tag else ""
        return f'<image id="{frame}" name="frame_{frame * 5:06d}" width="8" height="8">{inner}</image>'

    tags = ["ad", "ad", "", "ad", "content", "content"]
    xml = (
        "<annotations><meta><task><labels><label><name>ad</name></label></labels></task><source>a.mp4</source></meta>"
        + "".join(image(number, tag) for number, tag in enumerate(tags))
        + "</annotations>"
    )
    assert read(write(tmp_path / "a.xml", xml), frame_rate=5) == [
        ("a.mp4", ("ad",), 0, 2, None),
        ("a.mp4", ("ad",), 3, 4, None),
        ("a.mp4", ("content",), 4, 6, None),
    ]


def test_tags_of_images_and_their_subset(tmp_path: Path) -> None:
    tags = '<tag label="x"/><tag label="y"/>'
    xml = f'<annotations><image id="0" name="d/img.jpg" subset="Train">{tags}</image></annotations>'
    assert read(write(tmp_path / "a.xml", xml)) == [("img.jpg", ("x", "y"), None, None, "train")]


@pytest.mark.parametrize(
    "xml, term",
    [
        ('<annotations><track label="x"><box frame="x" outside="0"/></track></annotations>', "line 1.*frame"),
        ('<annotations>\n<track><box frame="1"/></track></annotations>', "line 2.*label"),
        (
            '<annotations><track label="x"><box frame="1" outside="0"/></track></annotations>',
            "does not say which video",
        ),
        ("<annotations>\n<image/></annotations>", "line 2.*name"),
        ("<annotations/>", "contains no usable labels"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "entity"),
    ],
)
def test_wrong_elements_are_named_with_their_line(tmp_path: Path, xml: str, term: str) -> None:
    with pytest.raises(DatasetError, match=term):
        read_dataset(write(tmp_path / "a.xml", xml), format="cvat")


# ELAN, VIA, FiftyOne, Datumaro


def test_a_real_elan_file_of_television(real: Path) -> None:
    """One tier of 66 segments in milliseconds: the first ends at 67600, the second lasts from 67640 to 70600."""
    made = read_dataset(real / "tv.eaf")
    assert len(made) == 66
    assert made.counts() == {
        "studio": 3,
        "upoutávka": 11,
        "reklama": 38,
        "předěl": 2,
        "grafika": 6,
        "outdoor": 4,
        "zábava": 2,
    }
    video = "barrandov 2023-09-30 13.26.59.mp4"
    assert facts(made)[:2] == [(video, ("studio",), 0, 67.6, None), (video, ("upoutávka",), 67.64, 70.6, None)]


def eaf(annotations: str, slots: str, more: str = "") -> str:
    return (
        '<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds"><MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/x/a.mp4" '
        f'MIME_TYPE="video/mp4" {more}/></HEADER><TIME_ORDER>{slots}</TIME_ORDER>\n'
        f'<TIER TIER_ID="t">{annotations}</TIER>'
        "</ANNOTATION_DOCUMENT>"
    )


def aligned(one: str, other: str, value: str = "x") -> str:
    return (
        f'<ANNOTATION><ALIGNABLE_ANNOTATION TIME_SLOT_REF1="{one}" TIME_SLOT_REF2="{other}">'
        f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
    )


SLOTS = '<TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="b" TIME_VALUE="1500"/>'


def test_elan_adds_the_origin_of_the_video_and_names_empty_values_by_tier(tmp_path: Path) -> None:
    text = eaf(aligned("a", "b") + aligned("a", "b", ""), SLOTS, 'TIME_ORIGIN="2000"')
    assert read(write(tmp_path / "a.eaf", text)) == [("a.mp4", ("x", "t"), 2.5, 3.5, None)]


def test_elan_counts_what_has_no_times_by_tier(tmp_path: Path) -> None:
    dependent = '<ANNOTATION><REF_ANNOTATION ANNOTATION_REF="x"/></ANNOTATION>'
    tiers = f'{dependent * 2}</TIER><TIER TIER_ID="u">{aligned("a", "b")}'
    found = read_dataset(write(tmp_path / "a.eaf", eaf(tiers, SLOTS)))
    assert [note.partition(": ")[2] for note in found.notes if "left out" in note] == [
        "left out: 2 annotations that have no times of their own (tier 't')"
    ]


@pytest.mark.parametrize(
    "text, term",
    [
        (eaf(aligned("a", "c"), SLOTS), "line 2.*time slot"),
        (eaf(aligned("b", "a"), SLOTS), "line 2.*after"),
        (eaf(aligned("a", "b"), SLOTS.replace("500", "x", 1)), "whole number"),
        (eaf(aligned("a", "c"), SLOTS + '<TIME_SLOT TIME_SLOT_ID="c"/>'), "1 annotations that are not aligned"),
        ('<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="PAL-frames"/></ANNOTATION_DOCUMENT>', "TIME_UNITS"),
        ("<ANNOTATION_DOCUMENT><HEADER/></ANNOTATION_DOCUMENT>", "does not name a video"),
    ],
)
def test_wrong_elan_files(tmp_path: Path, text: str, term: str) -> None:
    with pytest.raises(DatasetError, match=term):
        read_dataset(write(tmp_path / "a.eaf", text))


VIA_CSV = (
    '# Exported using VGG Image Annotator\n# ATTRIBUTE = {"1":{"aname":"KIND","options":{"0":"ad","1":"content"}}}\n'
    "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata\n"
    '"1_a","[""a.mp4""]",0,"[1.124,5.31]","[]","{""1"":""0""}"\n'
    '"1_b","[""a.mp4""]",0,"[2.4]","[2,1,2,3,4]","{""1"":""1""}"\n'
)


def test_via_segments_with_the_names_of_their_options(tmp_path: Path) -> None:
    made = read_dataset(write(tmp_path / "a.csv", VIA_CSV))
    assert facts(made) == [("a.mp4", ("ad",), 1.124, 5.31, None)]
    assert "1 shapes and still frames" in " ".join(made.notes)


def test_fiftyone_support_counts_frames_from_one(tmp_path: Path) -> None:
    touch(tmp_path, "data/v1.mp4", "data/v2.mp4")
    labels = {"v0": None, "v1": [{"label": 1, "support": [1, 20]}, {"label": "x", "timestamps": [2, 3.5]}]}
    labels |= {"v3": None, "v2": {"label": 0, "timestamps": [0, 1]}}
    path = write(tmp_path / "labels.json", {"classes": ["x", "y"], "labels": labels})
    found = read(tmp_path, frame_rate=10)
    assert found[:2] == [("v1.mp4", ("y",), 0, 2, None), ("v1.mp4", ("x",), 2, 3.5, None)]
    assert found[2:] == [("v2.mp4", ("x",), 0, 1, None)]
    with pytest.raises(DatasetError, match=r"detection 1.*label"):
        read_dataset(write(path, {"classes": ["x"], "labels": {"v1": [{"label": 7}]}}))


def test_datumaro_frames_in_a_row_and_whole_items(tmp_path: Path) -> None:
    def item(frame: int, *labels: int) -> dict[str, Any]:
        marks = [{"type": "label", "label_id": label} for label in labels]
        return {"id": str(frame), "annotations": marks, "video_frame": {"video_path": "a.mp4", "frame_index": frame}}

    whole = {"id": "b", "annotations": [{"type": "label", "label_id": 1}, {"type": "bbox"}], "image": {"path": "b.jpg"}}
    content = {
        "categories": {"label": {"labels": [{"name": "x"}, {"name": "y"}]}},
        "items": [item(0, 0), item(1, 0), item(2), item(3, 0), whole],
    }
    made = read_dataset(write(tmp_path / "train.json", content), options=ReadOptions(frame_rate=1))
    assert facts(made) == [
        ("b.jpg", ("y",), None, None, "train"),
        ("a.mp4", ("x",), 0, 2, None),
        ("a.mp4", ("x",), 3, 4, None),
    ]
    content["items"] = [{**whole, "annotations": [{"type": "label", "label_id": 9}]}]
    with pytest.raises(DatasetError, match=r"item 1.*label_id 9"):
        read_dataset(write(tmp_path / "b.json", content))


# Public datasets


def test_ucf101_keeps_groups_and_splits(tmp_path: Path) -> None:
    videos = tmp_path / "UCF-101"
    touch(videos, "Archery/v_Archery_g01_c01.avi", "Archery/v_Archery_g01_c02.avi", "Biking/v_Biking_g02_c01.avi")
    write(tmp_path / "lists" / "classInd.txt", "1 Archery\n2 Biking\n")
    write(tmp_path / "lists" / "trainlist01.txt", "Archery/v_Archery_g01_c01.avi 1\nArchery/v_Archery_g01_c02.avi 1\n")
    write(tmp_path / "lists" / "testlist01.txt", "Biking/v_Biking_g02_c01.avi\n")
    made = read_dataset(tmp_path / "lists", options=ReadOptions(videos=videos))
    assert [(item.label, item.split, item.group) for item in made] == [
        ("Archery", "train", "v_Archery_g01"),
        ("Archery", "train", "v_Archery_g01"),
        ("Biking", "test", "v_Biking_g02"),
    ]
    assert made.labels == ("Archery", "Biking")
    write(tmp_path / "lists" / "trainlist01.txt", "Archery/v_Archery_g01_c01.avi 2\n")
    with pytest.raises(DatasetError, match=r"trainlist01.txt, line 1.*number 1"):
        read_dataset(tmp_path / "lists")


def test_hmdb51_leaves_out_what_is_in_neither_part(tmp_path: Path) -> None:
    write(tmp_path / "wave_test_split1.txt", "a_wave_u_1.avi 1 \nb_wave_u_1.avi 2 \nc.avi 0 \n")
    write(tmp_path / "run_test_split1.txt", "d.avi 1 \n")
    made = read_dataset(tmp_path)
    assert [(item.path.name, item.label, item.split) for item in made] == [
        ("d.avi", "run", "train"),
        ("a_wave_u_1.avi", "wave", "train"),
        ("b_wave_u_1.avi", "wave", "test"),
    ]
    assert "1 videos marked 0" in " ".join(made.notes)


def test_mmaction_lists_with_and_without_names_of_classes(tmp_path: Path) -> None:
    path = write(tmp_path / "k400_val_list.txt", "some folder/a.mp4 1\nb.mp4 0 1\n")
    assert read(path) == [
        ("a.mp4", ("1",), None, None, "validation"),
        ("b.mp4", ("0", "1"), None, None, "validation"),
    ]
    write(tmp_path / "label_map.txt", "run\nwave\n")
    made = read_dataset(path)
    assert made.labels == ("run", "wave")
    assert made.examples[0].labels == ("wave",)
    with pytest.raises(DatasetError, match=r"line 1.*number is 7"):
        read_dataset(write(tmp_path / "train_list.txt", "a.mp4 7\n"))


def test_mmaction_rawframes_are_frames_of_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "clip_1/img_00001.jpg", "clip_1/img_00002.jpg")
    made = read_dataset(write(tmp_path / "train.txt", "clip_1 2 0\nclip_2 9 1\n"), options=ReadOptions(frame_rate=25))
    assert made.examples[0].frames == PreparedFrames(tmp_path / "clip_1", ("img_00001.jpg", "img_00002.jpg"), 25)
    assert made.examples[1].frames is None
    assert "25 frames per second" in " ".join(made.notes)


def test_real_kinetics_files(real: Path) -> None:
    made = read_dataset(real / "kinetics_dataset" / "train.json")
    # The id 3 is the video train/3.avi, of which the file says that it lasts 2 s and the segment 0 to 2.
    assert facts(made) == [("3.avi", ("label_2",), 0, 2, "train")]
    assert made.examples[0].path.is_file()
    table = read_dataset(real / "kinetics_dataset" / "test.csv")
    assert [item[1:] for item in facts(table)] == [
        (("label_0",), 0, 2, "test"),
        (("label_0",), 5, 7, "test"),
        (("label_1",), 10, 15, "test"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        {"v": {"annotations": {"label": "x", "segment": [12, 15]}, "duration": 10}},
        {"database": {"v": {"duration": 10, "annotations": [{"label": "x", "segment": [12, 15]}]}}},
        {"v": {"annotations": {"label": "x", "segment": [5, 2]}, "duration": 10}},
        {"database": {"v": {"annotations": [{"label": "x", "segment": [5, 2]}]}}},
    ],
)
def test_ranges_after_the_end_or_backwards_are_named(tmp_path: Path, content: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match=r"video 'v'.*(the video lasts 10 s|after start_seconds)"):
        read_dataset(write(tmp_path / "a.json", content))


def test_a_segment_past_the_end_is_cut_and_said(tmp_path: Path) -> None:
    content = {"database": {"v": {"duration": 10, "annotations": [{"label": "x", "segment": [8, 15]}]}}}
    made = read_dataset(write(tmp_path / "a.json", content))
    assert facts(made)[0][2:4] == (8, 10)
    assert "1 segments end after the end of their video" in " ".join(made.notes)


# Folders with videos


def test_a_videofolder_with_metadata_for_each_split(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.mp4", "test/x/b.mp4")
    write(tmp_path / "train" / "metadata.csv", "file_name,label,start_seconds,end_seconds\na.mp4,ad,0,5\n")
    write(tmp_path / "test" / "metadata.jsonl", '{"file_name": "x/b.mp4", "views": 3}\n')
    made = read_dataset(tmp_path, format="videofolder")
    assert detect_format(tmp_path)[0] == "videofolder"
    assert facts(made) == [("b.mp4", ("x",), None, None, "test"), ("a.mp4", ("ad",), 0, 5, "train")]
    write(tmp_path / "train" / "metadata.csv", "file_name,label\n../test/x/b.mp4,ad\n")
    with pytest.raises(DatasetError, match=r"row 2.*below the folder"):
        read_dataset(tmp_path)


def tar(path: Path, *members: tuple[str | tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def test_a_webdataset_is_read_into_one_folder_and_never_outside(tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "escaped.mp4"
    path = tar(
        tmp_path / "s.tar",
        ("0001.mp4", b"one"),
        ("0001.json", b'{"label": "x", "end_seconds": 5, "url": "y"}'),
        ("../../escaped.mp4", b"two"),
        ("../../escaped.cls", b"y"),
        (str(outside), b"three"),
        (f"{outside.with_suffix('')}.txt", b"z"),
        (link("0004.mp4", "/etc/passwd"), b""),
        ("0004.cls", b"y"),
        ("0005.mp4", b"no label"),
    )
    made = read_dataset(path, options=ReadOptions(videos=out))
    assert [(item.labels, item.end_seconds) for item in made] == [(("x",), 5), (("y",), None), (("z",), None)]
    assert all(item.path.parent == out / "s" and item.path.is_file() for item in made)
    assert not outside.exists()
    assert sorted(os.listdir(tmp_path)) == ["out", "s.tar"]
    assert "3 members or clips" in " ".join(made.notes)


def test_webdataset_numbers_are_places_in_the_given_labels(tmp_path: Path) -> None:
    path = tar(tmp_path / "s.tar", ("a.mp4", b"one"), ("a.cls", b"1"))
    made = read_dataset(path, ["x", "y"], options=ReadOptions(videos=tmp_path / "out"))
    assert made.examples[0].labels == ("y",)


@pytest.mark.parametrize(
    "members, term",
    [
        ([("a.mp4", b"x"), ("a.json", b"[1]")], "member 'a.mp4'.*object"),
        ([("a.mp4", b"x"), ("a.json", b"{}")], "no label"),
        ([("a.mp4", b"x"), ("a.txt", b"\xff")], "UTF-8"),
        ([("a.mp4", b"x"), ("a.txt", b"x" * (2**20 + 1))], "at most"),
        ([], "contains no clips"),
    ],
)
def test_wrong_members_are_named(tmp_path: Path, members: list[Any], term: str) -> None:
    with pytest.raises(DatasetError, match=term):
        read_dataset(tar(tmp_path / "s.tar", *members), options=ReadOptions(videos=tmp_path / "out"))


def test_what_is_no_tar_file_or_compressed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not a readable, uncompressed tar file"):
        read_dataset(write(tmp_path / "s.tar", "hello"))
    with tarfile.open(tmp_path / "z.tar", "w:gz"):
        pass
    with pytest.raises(DatasetError, match="uncompressed"):
        read_dataset(tmp_path / "z.tar")


# Intervals as clips


def test_an_edl_is_of_the_video_beside_it(tmp_path: Path) -> None:
    render_video(tmp_path / "a.mp4", "warm", 0, seconds=4, fps=8)
    path = write(tmp_path / "a.edl", "1 2 3\n3 9 3\n")
    made = read_dataset(path, options=ReadOptions(rest="content"))
    assert facts(made) == [
        ("a.mp4", ("ad",), 1, 2, None),
        ("a.mp4", ("ad",), 3, 4, None),
        ("a.mp4", ("content",), 0, 1, None),
        ("a.mp4", ("content",), 2, 3, None),
    ]
    assert "--rest" in " ".join(read_dataset(path).notes)


def test_a_file_of_cues_without_its_video_is_still_read(tmp_path: Path) -> None:
    text = "FILE PROCESSING COMPLETE 900 FRAMES AT 2500\n-----\n26\t51\n"
    assert read(write(tmp_path / "a.txt", text)) == [("a", ("ad",), 1, 2, None)]
    interval = {"label": "x", "start_seconds": 1, "end_seconds": 2}
    videos = [{"video": "b.mp4", "intervals": [interval]}]
    text = json.dumps({"format": "cliplab-intervals", "version": 1, "videos": videos})
    assert read(write(tmp_path / "a.json", text)) == [("b.mp4", ("x",), 1, 2, None)]


# Export


def example(root: Path, **more: Any) -> Dataset:
    return Dataset((Example(root / "a.mp4", ("x",), **more),), ("x",), root)


@pytest.mark.parametrize("format", ["ucf101", "hmdb51", "mmaction_videos", "folders"])
def test_a_range_is_refused_where_only_whole_videos_can_be_said(tmp_path: Path, format: str) -> None:
    with pytest.raises(DatasetError, match=f"a.mp4.*a range, which {format} cannot represent"):
        export_dataset(example(tmp_path, end_seconds=5.0), tmp_path / "out", format)


def test_an_export_says_what_it_loses(tmp_path: Path) -> None:
    data = example(tmp_path, end_seconds=5.0, split="train", group="tape", source="film")
    assert lost_in_export(data, "jsonl") == []
    lost = " ".join(lost_in_export(data, "elan"))
    assert all(word in lost for word in ("splits of 1", "groups of 1", "sources of 1", "milliseconds"))


def test_what_is_only_read_cannot_be_written(tmp_path: Path) -> None:
    for format in ("hls", "scte35"):
        with pytest.raises(DatasetError, match=f"{format} can be read but not written"):
            export_dataset(example(tmp_path, end_seconds=5.0), tmp_path / "out", format)


def test_an_edl_has_no_place_for_a_programme(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="can only store ad, cut"):
        export_dataset(example(tmp_path, end_seconds=5.0), tmp_path / "a.edl", "edl")


def test_more_clips_than_a_dataset_may_have_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.data.rows.MAX_CLIPS", 3)
    annotations = [{"label": "a", "segment": [number, number + 1]} for number in range(4)]
    content = json.dumps({"database": {"a": {"annotations": annotations}}})
    cue_lines = "".join(f"{number} {number}.5 3\n" for number in range(4))
    lines = "".join(json.dumps({"path": f"{number}.mp4", "label": "a"}) + "\n" for number in range(4))
    for name, text in (("a.json", content), ("a.edl", cue_lines), ("a.jsonl", lines)):
        with pytest.raises(DatasetError, match="more than 3 clips"):
            read_dataset(write(tmp_path / name, text))


def test_files_of_too_many_values_or_lines_are_refused_before_they_are_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.data.formats.text._MAX_JSON_COST", 100)
    monkeypatch.setattr("adapters.data.formats.interval_records._MAX_LINES", 10)
    with pytest.raises(DatasetError, match="too many values"):
        read_dataset(write(tmp_path / "a.json", json.dumps({"database": {}, "of": [[]] * 60})))
    with pytest.raises(DatasetError, match="11 lines"):
        read_dataset(write(tmp_path / "a.edl", "1 2 3\n" * 11))


def test_a_folder_of_label_files_is_a_dataset(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    write(tmp_path / "a.edl", "1 2 3\n4 5 0\n")
    write(tmp_path / "b.edl", "")
    write(tmp_path / "a.txt", "FILE PROCESSING COMPLETE    100 FRAMES AT  2500\n-------\n1\t50\n")
    write(tmp_path / "notes.txt", "Recorded in the evening\n")
    clips = Dataset(
        tuple(Example(tmp_path / "c.mp4", (name,), 1.0, end) for name, end in (("x", 3.0), ("y", 2.0))),
        ("x", "y"),
        tmp_path,
    )
    export_dataset(clips, tmp_path / "c.eaf", "elan")
    assert detect_format(tmp_path)[0] == "label_files"
    dataset = read_dataset(tmp_path)
    assert [fact[:4] for fact in facts(dataset)] == [
        ("c.mp4", ("x",), 1, 3),
        ("c.mp4", ("y",), 1, 2),
        ("a.mp4", ("ad",), 1, 2),
        ("a.mp4", ("cut",), 4, 5),
    ]
    assert any("b.edl" in note for note in dataset.notes)
    assert any("a.txt: left out" in note for note in dataset.notes)
    with_rest = read(tmp_path, rest="content")
    assert ("b.mp4", ("content",), None, None, None) in with_rest


def test_overlapping_clips_are_in_tiers_of_their_own_and_slots_in_order(tmp_path: Path) -> None:
    spans = (("x", 4.0, 6.0), ("y", 1.0, 5.0), ("x", 6.0, 7.0), ("z", 4.5, 4.75))
    touch(tmp_path, "c.mp4")
    clips = Dataset(
        tuple(Example(tmp_path / "c.mp4", (name,), *span) for name, *span in spans), ("x", "y", "z"), tmp_path
    )
    text = export_dataset(clips, tmp_path / "c.eaf", "elan").read_text()
    times = [int(part.split('"')[0]) for part in text.split('TIME_VALUE="')[1:]]
    assert times == sorted(times)
    assert text.count("<TIER ") == 3
    assert sorted(fact[1:4] for fact in read(tmp_path / "c.eaf")) == sorted(((n,), s, e) for n, s, e in spans)


def test_a_video_that_cannot_be_read_needs_a_rate_where_frames_are_counted(tmp_path: Path) -> None:
    clip = Example(tmp_path / "a.mp4", ("x",), 2.0, 4.0)
    with pytest.raises(DatasetError, match=r"a\.mp4.*--frame-rate"):
        FrameRanges().of(clip)
    assert FrameRanges(12.5).of(clip) == (25, 50)
