"""A log's frames: what a kill leaves is cut off in silence, anything else counts as damage."""

import pytest

from rollout.store import frames

PAYLOADS = [b"first", b"", b"the last one"]


@pytest.fixture
def log(tmp_path):
    for payload in PAYLOADS:
        frames.append_frame(tmp_path / "log", memoryview(payload))
    return tmp_path / "log"


def test_a_log_cut_at_any_byte_holds_its_whole_frames_and_no_damage(log):
    data = log.read_bytes()
    for size in range(len(data) + 1):
        log.write_bytes(data[:size])
        payloads, good_end, damaged = frames.read_frames(log)
        assert payloads == PAYLOADS[: len(payloads)]
        assert damaged == 0
        assert good_end == sum(frames.FRAME.size + len(p) for p in payloads)
        assert size - good_end < frames.FRAME.size + len(PAYLOADS[-1])


@pytest.mark.parametrize("number", range(len(PAYLOADS)))
def test_a_flipped_bit_damages_its_frame_alone_and_is_counted(log, number):
    data = log.read_bytes()
    sizes = [frames.FRAME.size + len(payload) for payload in PAYLOADS]
    start = sum(sizes[:number])
    length_field = range(start + 8, start + 16)  # a larger one looks like a torn frame
    for at in set(range(start, start + sizes[number])) - set(length_field):
        log.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        payloads, _, damaged = frames.read_frames(log)
        assert payloads == PAYLOADS[:number] + PAYLOADS[number + 1 :]
        assert damaged == sizes[number]


def test_zeros_after_a_power_cut_are_damage(log):
    data = log.read_bytes()
    log.write_bytes(data + bytes(100))
    assert frames.read_frames(log) == (PAYLOADS, len(data), 100)
