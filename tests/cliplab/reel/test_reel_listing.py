"""A listing of clips that a person chose: the best first, each with its window."""

from __future__ import annotations

from cliplab.reel.listing import listing_of


def test_clips_that_were_chosen_are_listed_best_first() -> None:
    found = listing_of([("a.mp4", 1.0, 3.0, 0.25), ("b.mp4", 2.0, 5.0, 0.75), ("c.mp4", 0.0, 1.0, 0.5)], "rated")
    assert [row["path"] for row in found["highlights"]] == ["b.mp4", "c.mp4", "a.mp4"]
    assert found["highlights"][0]["windows"] == [{"start": 2.0, "end": 5.0, "score": 0.75}]
    assert (found["label"], found["min_score"], found["usual_min_score"], found["listed"]) == ("rated", 0.0, 0.0, True)
