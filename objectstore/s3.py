"""An object store on S3."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from kaption.connections.errors import Fatal, Retry
from kaption.connections.settings import StoreConnection
from kaption.objectstore import s3_client
from kaption.objectstore.store import NO_CONDITIONS, ObjectStore, check_key, check_prefix

MULTIPART_BYTES = 64 * 1024 * 1024
"""A file of this size or more is uploaded in parts of this size (boto3 enlarges the parts of files
that would need more than 10,000)."""
CONFLICT_TRIES = 3
"""Attempts at a conditional write that S3 answers with 409: two writers at once."""


class S3Store(ObjectStore):
    """Objects of one bucket, below a prefix.

    The server must support conditional writes (If-None-Match, as AWS and SeaweedFS do): a server
    that ignores the condition would let two sinks commit the same shard. `try_store` notices it.
    Every upload carries the MD5 of its content, or of each part, and is signed with its SHA-256. So
    the server refuses bytes that the network damaged.
    """

    def __init__(
        self, connection: StoreConnection, observe: Callable[[float], object] | None = None
    ) -> None:
        scheme, _, rest = connection.url.partition("://")
        self._bucket, _, prefix = rest.partition("/")
        if scheme != "s3" or not self._bucket:
            raise Fatal(f"store.url {connection.url!r} names no bucket: give s3://bucket/prefix")
        prefix = prefix.strip("/")
        self._prefix = f"{check_key(prefix)}/" if prefix else ""
        self._client = s3_client.connect(connection)
        self._observe = observe

    def put(
        self, key: str, data: bytes | Path, *, media_type: str = "application/octet-stream"
    ) -> None:
        """Send one request, or several for a large file. The object appears with the last one."""
        from boto3.s3.transfer import TransferConfig

        if isinstance(data, bytes):
            with self._translated(key):
                self._put(key, data, media_type)
            return
        parts = TransferConfig(
            multipart_threshold=MULTIPART_BYTES, multipart_chunksize=MULTIPART_BYTES
        )
        extra = {"ContentType": media_type}
        with self._translated(key), data.open("rb") as file:
            self._client.upload_fileobj(
                file, self._bucket, self._name(key), ExtraArgs=extra, Config=parts
            )

    def put_if_absent(self, key: str, data: bytes, *, media_type: str = "application/json") -> bool:
        """Send PUT with If-None-Match. 412 is False; on 409, two writers at once, try again."""
        from botocore.exceptions import ClientError

        for _ in range(CONFLICT_TRIES):
            with self._translated(key):
                try:
                    self._put(key, data, media_type, IfNoneMatch="*")
                except ClientError as error:
                    status = s3_client.status_of(error)
                    if status == 412:
                        return False
                    if s3_client.knows_no_conditions(error):
                        raise Fatal(f"S3 refuses {key}: {error}; {NO_CONDITIONS}") from error
                    if status != 409:
                        raise
                else:
                    return True
            if self.exists(key):
                return False
        raise Retry(f"S3: other writers of {key} collided with this one {CONFLICT_TRIES} times")

    def get(self, key: str) -> bytes:
        """Return the whole object. Its length is verified here, its content by those who know it.

        Blobs and data objects have a SHA-256 in their key or manifest.
        """
        with self._translated(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._name(key))
            with answer["Body"] as body:
                data: bytes = body.read()
        return data

    def get_part(self, key: str, start: int, size: int) -> bytes:
        """Send one GET with a Range. Its length is verified, as in `get`."""
        from botocore.exceptions import ClientError

        asked = f"bytes={start}-{start + size - 1}"
        with self._translated(key):
            try:
                answer = self._client.get_object(
                    Bucket=self._bucket, Key=self._name(key), Range=asked
                )
            except ClientError as error:
                if s3_client.status_of(error) == 416:  # the object ends before
                    return b""
                raise
            with answer["Body"] as body:
                data: bytes = body.read()
        # A proxy may pass over the Range, and then answers with the whole object.
        return data if "ContentRange" in answer else data[start : start + size]

    def exists(self, key: str) -> bool:
        """Send one HEAD. A missing bucket looks like a missing object, except to `ready`."""
        try:
            with self._translated(key):
                self._client.head_object(Bucket=self._bucket, Key=self._name(key))
        except KeyError:
            return False
        return True

    def written_at(self, key: str) -> datetime:
        """Send one HEAD and return its LastModified."""
        with self._translated(key):
            answer = self._client.head_object(Bucket=self._bucket, Key=self._name(key))
        written: datetime = answer["LastModified"]
        return written

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Read all keys, then return them in lexical order.

        They are sorted here, because S3 promises the order only for general purpose buckets, and
        SeaweedFS sorts folder by folder. A directory bucket knows no StartAfter.
        """
        directory_bucket = self._bucket.endswith(s3_client.DIRECTORY_BUCKET)
        skipped = {"StartAfter": self._prefix + after} if after else {}
        found = self._listed("Contents", prefix, **({} if directory_bucket else skipped))
        names = (each["Key"].removeprefix(self._prefix) for each in found)
        return iter(sorted(name for name in names if name > after))

    def folders(self, prefix: str) -> Iterator[str]:
        """Ask for the common prefixes of the keys."""
        found = self._listed("CommonPrefixes", prefix, Delimiter="/")
        start = len(self._prefix + prefix)
        return iter(sorted({each["Prefix"][start:].rstrip("/") for each in found}))

    def _listed(self, part: str, prefix: str, **options: str) -> Sequence[Any]:
        wanted = self._prefix + check_prefix(prefix)
        with self._translated(prefix):
            pages = self._client.get_paginator("list_objects_v2")
            return [
                each
                for page in pages.paginate(Bucket=self._bucket, Prefix=wanted, **options)
                for each in s3_client.page_of(page).get(part, ())
            ]

    def delete(self, key: str) -> None:
        """Send one DELETE. Some servers answer 404 for a missing object."""
        with suppress(KeyError), self._translated(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._name(key))

    def ready(self) -> str | None:
        """Return None when the bucket answers, else what is wrong."""
        try:
            with self._translated(self._bucket):
                self._client.head_bucket(Bucket=self._bucket)
        except KeyError:
            return f"S3: there is no bucket {self._bucket}: make it or correct store.url"
        except Retry as error:
            return str(error)
        except Fatal:
            return self._listable()
        return None

    def _listable(self) -> str | None:
        """Ask for one key below the prefix. A policy may allow that and no request for the bucket.

        It is no substitute for HeadBucket: providers charge ten times as much for a listing.
        """
        try:
            with self._translated(self._bucket):
                found = self._client.list_objects_v2(
                    Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1
                )
                s3_client.page_of(found)
        except (Retry, Fatal) as error:
            return str(error)
        return None

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _translated(self, key: str) -> AbstractContextManager[None]:
        return s3_client.translated(self._bucket, key, self._observe)

    def _put(self, key: str, data: bytes, media_type: str, **conditions: str) -> None:
        answer = self._client.put_object(
            Bucket=self._bucket,
            Key=self._name(key),
            Body=data,
            ContentType=media_type,
            **conditions,
        )
        if "ETag" not in answer:  # a proxy's page: nothing is stored
            raise Fatal(s3_client.OTHER_SERVER)
