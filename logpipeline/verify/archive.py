"""Audit: whether logs.txt, its checkpoint and the dead letters have what Kafka says.

What Kafka no longer has (retention, a deleted topic) is accepted unseen, as far as it is an event.
"""

from kafka import TopicPartition

from logpipeline.events.event import is_event
from logpipeline.verify.files import ArchiveFiles
from logpipeline.verify.findings import Findings
from logpipeline.verify.interleaving import Interleaving
from logpipeline.verify.lines import FileLines
from logpipeline.verify.snapshot import ArchiveView, Snapshot
from logpipeline.verify.sources import Sources


def audit_logs_txt(snapshot: Snapshot, sources: Sources) -> Findings:
    """Whether each event is in it once, whole, in order. Raises KafkaError, OSError."""
    findings = Findings()
    checkpoint = snapshot.archive.checkpoint
    began = [topic.since for topic in checkpoint.topics.values()] or [checkpoint.length]
    lines = FileLines(snapshot.archive.files.files, min(began), checkpoint.length)
    unseen = sum(source.unseen for source in sources.all)

    def accept(line: bytes) -> bool:
        gone = lines.position <= max(began) or interleaving.accepted < unseen
        return gone and is_event(line)

    streams = [source.stream for source in sources.all]
    interleaving = Interleaving(streams, findings, sources.fill, accept)
    complete = all(interleaving.take(line, lines.number) for line in lines)
    interleaving.finish(complete)
    _explain(interleaving, lines, sources, findings)
    _examine_files(snapshot.archive.files, lines, findings)
    _examine_end(snapshot.archive, lines, findings)
    if not complete:
        findings.notes.append(f"what follows {lines.place(lines.number)} was not compared")
    if interleaving.accepted:
        findings.notes.append(
            f"{interleaving.accepted:,} accepted unseen: Kafka no longer has their records"
        )
    if lines.before:
        findings.notes.append(f"{lines.before:,} lines are older and not compared")
    findings.agreed = f"{interleaving.taken:,} events, each once and in its partition's order"
    return findings


def audit_kafka(snapshot: Snapshot, sources: Sources) -> Findings:
    """Whether it has what the checkpoint says, and a dead letter for each record that is no event.

    Raises KafkaError.
    """
    sources.drain()
    findings = Findings()
    kafka, letters = snapshot.kafka, sources.letters
    not_read = 0
    for name, topic in snapshot.archive.checkpoint.topics.items():
        if kafka.ids.get(name) != topic.id:
            findings.notes.append(f"the checkpoint's topic {name} is gone")
            continue
        for at, end in kafka.end.items():
            if at.topic == name:
                known = topic.partitions.get(at.partition)
                not_read += _compare_ends(snapshot, at, known.next if known else 0, end, findings)
    if letters.incomplete:
        findings.notes.append("Kafka has deleted dead letters: they are not compared")
    else:
        for stream, offset in sources.letterless:
            findings.add_offset("without a dead letter", stream, offset)
    if letters.doubled:
        findings.notes.append(f"{letters.doubled:,} more dead letters repeat one (at least once)")
    if not_read:
        findings.notes.append(f"{not_read:,} records are not yet read")
    findings.agreed = (
        f"{sources.events + sources.rejects:,} records up to the checkpoint: {sources.events:,} "
        f"events, and {sources.rejects:,} others with a dead letter each"
    )
    return findings


def _compare_ends(
    snapshot: Snapshot, at: TopicPartition, stands: int, end: int, findings: Findings
) -> int:
    """Whether Kafka ends, and has its commit, where it may. Returns how much is not yet read."""
    name = f"{at.topic}[{at.partition}]"
    if end < stands:
        text = f"{name} ends at {end}, the checkpoint is at {stands}"
        findings.add("behind the checkpoint", text)
    commit = snapshot.kafka.commits.get(at)
    if commit and commit.offset > stands:
        if commit.archive != snapshot.archive.checkpoint.archive:
            findings.notes.append(f"{name} went on in another logs.txt")
            return 0
        text = f"{name} is committed at {commit.offset}, the checkpoint is at {stands}"
        findings.add("ahead of the checkpoint", text)
    return max(0, end - max(stands, snapshot.kafka.first[at]))


def _explain(
    interleaving: Interleaving, lines: FileLines, sources: Sources, findings: Findings
) -> None:
    """Say what the lines are that nobody waited for."""
    surplus = interleaving.surplus
    found = sources.find({line.hash for line in surplus}) if surplus else {}
    for line in surplus:
        if not line.is_event:
            findings.add("torn or edited", lines.place(line.number))
        elif line.hash not in found:
            findings.add("unknown to Kafka", lines.place(line.number))
        else:
            source, offset = found[line.hash]
            kind = "doubled" if source.holds(offset) else "beyond the checkpoint"
            findings.add_offset(kind, source.stream.name, offset)
    if more := interleaving.surplus_total - len(surplus):
        findings.notes.append(f"{more:,} more lines are too many")


def _examine_files(files: ArchiveFiles, lines: FileLines, findings: Findings) -> None:
    """Whether rotated files are missing in the middle, or not as long as they were."""
    for hole in files.holes:
        text = f"{hole.stream}@{hole.first} to {hole.next - 1}, before {hole.before}"
        findings.add("in no file", text)
    for name in lines.odd:
        findings.add("changed", name)
    if files.apart:
        findings.notes.append(
            f"{files.apart[0]} has no checkpoint: it and those before it are not compared"
        )


def _examine_end(archive: ArchiveView, lines: FileLines, findings: Findings) -> None:
    if archive.extra > 0:
        text = f"{archive.extra:,} bytes after byte {archive.length:,}, which the next start cuts"
        findings.add("torn tail", text)
    elif archive.extra < 0:
        findings.add("truncated", f"{-archive.extra:,} bytes are missing at its end")
    elif lines.torn:
        text = f"{lines.place(lines.number)}, where the checkpoint's length ends"
        findings.add("torn", text)
