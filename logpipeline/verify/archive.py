"""Audit of the archive: whether logs.txt, its checkpoint and the dead letters agree with Kafka.

A line whose record Kafka no longer has (retention, a deleted topic, a loss) is accepted if it is an
event. So are those that were put back from logs.txt.cut.
"""

from kafka import TopicPartition

from logpipeline.events.event import is_event
from logpipeline.verify.files import ArchiveFiles
from logpipeline.verify.findings import Findings
from logpipeline.verify.interleaving import Interleaving
from logpipeline.verify.lines import FileLines
from logpipeline.verify.snapshot import ArchiveView, Snapshot
from logpipeline.verify.sources import Sources

ELSEWHERE = "continues in another logs.txt"


def audit_logs_txt(snapshot: Snapshot, sources: Sources) -> Findings:
    """Whether logs.txt has each event once, whole, in order. Raises KafkaError, OSError."""
    findings = Findings()
    checkpoint = snapshot.archive.checkpoint
    began = [topic.since for topic in checkpoint.topics.values()] or [checkpoint.length]
    lines = FileLines(snapshot.archive.files.files, min(began), checkpoint.length)
    unseen = sum(source.unseen for source in sources.all)
    lost = sum(source.lost for source in sources.all)

    def accept(line: bytes) -> bool:
        if sources.confirm(line):
            return True
        if sources.lost < lost and is_event(line):
            sources.lose(line)
            return True
        accepted = interleaving.accepted - sources.confirmed - sources.lost
        gone = lines.position <= max(began) or accepted < unseen
        return gone and is_event(line)

    streams = [source.stream for source in sources.all]
    interleaving = Interleaving(streams, findings, sources.fill, accept)
    put_back = 0

    def take(line: bytes) -> bool:
        nonlocal put_back
        if any(a < lines.position <= b for a, b in checkpoint.put_back) and is_event(line):
            put_back += 1
            return True
        return interleaving.take(line, lines.number)

    complete = all(map(take, lines))
    interleaving.finish(complete)
    _explain(interleaving, lines, sources, findings)
    _examine_files(snapshot.archive.files, lines, findings)
    _examine_end(snapshot.archive, lines, findings)
    if not complete:
        findings.notes.append(f"lines after {lines.place(lines.number)} were not compared")
    if sources.lost:
        findings.notes.append(
            f"{sources.lost:,} of them are no longer in Kafka, which has lost {lost:,} records"
        )
    if put_back:
        findings.notes.append(
            f"{put_back:,} more were put back after a crash, as Kafka has lost them"
        )
    if accepted := interleaving.accepted - sources.confirmed - sources.lost:
        findings.notes.append(f"{accepted:,} accepted unseen: Kafka no longer has their records")
    if sources.confirmed:
        findings.notes.append(f"{sources.confirmed:,} of them have a dead letter, too")
    if lines.before:
        findings.notes.append(f"{lines.before:,} older lines were not compared")
    taken = interleaving.taken + sources.confirmed + sources.lost
    findings.agreed = f"{taken:,} events, each once and in its partition's order"
    return findings


def audit_kafka(snapshot: Snapshot, sources: Sources) -> Findings:
    """Whether Kafka has the records of the checkpoint, and a dead letter for each invalid one.

    Raises KafkaError.
    """
    sources.drain()
    findings = Findings()
    kafka, letters = snapshot.kafka, sources.letters
    not_read = 0
    for name, topic in snapshot.archive.checkpoint.topics.items():
        if kafka.ids.get(name) != topic.id:
            findings.notes.append(f"the checkpoint's topic {name} no longer exists")
            continue
        for at, end in kafka.end.items():
            if at.topic == name:
                known = topic.partitions.get(at.partition)
                not_read += _compare_ends(snapshot, at, known.next if known else 0, end, findings)
    if letters.incomplete:
        findings.notes.append("Kafka has deleted dead letters: they were not compared")
    else:
        for stream, offset in sources.letterless:
            findings.add_offset("without a dead letter", stream, offset)
    if letters.doubled:
        findings.notes.append(f"{letters.doubled:,} more dead letters repeat one (at least once)")
    if not_read:
        findings.notes.append(f"{not_read:,} records have not been read yet")
    findings.agreed = (
        f"{sources.events + sources.rejects:,} records up to the checkpoint: {sources.events:,} "
        f"events, and {sources.rejects:,} invalid records with a dead letter each"
    )
    return findings


def _compare_ends(
    snapshot: Snapshot, at: TopicPartition, position: int, end: int, findings: Findings
) -> int:
    """Whether Kafka's end and commit fit the checkpoint's position. Returns the unread records."""
    name = f"{at.topic}[{at.partition}]"
    if end < position:
        text = f"{name} ends at {end}, the checkpoint is at {position}"
        findings.add("behind the checkpoint", text)
    commit = snapshot.kafka.commits.get(at)
    if commit and commit.offset > position:
        if commit.archive != snapshot.archive.checkpoint.archive:
            findings.notes.append(f"{name} {ELSEWHERE}")
            return 0
        text = f"{name} is committed at {commit.offset}, the checkpoint is at {position}"
        findings.add("ahead of the checkpoint", text)
    return max(0, end - max(position, snapshot.kafka.first[at]))


def _explain(
    interleaving: Interleaving, lines: FileLines, sources: Sources, findings: Findings
) -> None:
    """Report what the surplus lines are."""
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
        findings.notes.append(f"{more:,} more surplus lines")


def _examine_files(files: ArchiveFiles, lines: FileLines, findings: Findings) -> None:
    """Whether a rotated file between two others is missing, or one has changed its length."""
    for hole in files.holes:
        text = f"{hole.stream}@{hole.first} to {hole.next - 1}, before {hole.before}"
        findings.add("in no file", text)
    for name in lines.odd:
        findings.add("changed", name)
    if files.apart:
        findings.notes.append(
            f"{files.apart[0]} has no checkpoint: it and older files were not compared"
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
