"""The sweep directory keeps the contract of a store, its files read by the layout that the format documents."""

from __future__ import annotations

import json
import struct
import zlib

from sciflow.store.directory import SweepDirectory
from sciflow.testing.store import StoreContract


class TestSweepDirectory(StoreContract):
    def create(self, path, workflow="w"):
        return SweepDirectory.create_or_open(path, workflow, seed=0)

    def recorded_outside(self, path):
        rows = []
        for segment in sorted((path / "segments").iterdir()):
            line, _, data = segment.read_bytes().partition(b"\n")
            assert line == b"sciflow segment 1"
            while data:
                magic, version, _, n_header, n_body, header_crc, body_crc, _, prefix_crc = struct.unpack_from(
                    "<8sHHIQIIII", data
                )
                assert (magic, version) == (b"\xf5sciFRM\n", 1)
                assert zlib.crc32(data[:36]) == prefix_crc
                header, body = data[40 : 40 + n_header], data[40 + n_header : 40 + n_header + n_body]
                assert zlib.crc32(header) == header_crc
                assert zlib.crc32(body) == body_crc
                facts, schema, _ = header.split(b"\n")
                sizes = json.loads(facts)["sizes"]
                assert len(json.loads(schema)) == len(sizes)
                assert sum(map(sum, sizes)) == n_body
                rows += range(*json.loads(facts)["rows"])
                data = data[40 + n_header + n_body :]
        return rows
