"""What an upload to AWS carries; botocore's last step before the network is watched."""

from base64 import b64encode
from hashlib import md5
from io import BytesIO
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from pydantic import SecretStr

from kaption.connections.errors import Fatal
from kaption.connections.settings import StoreConnection
from kaption.objectstore.s3 import S3Store

pytestmark = pytest.mark.slow

SESSION = b"""<CreateSessionResult><Credentials><SessionToken>t</SessionToken>
<SecretAccessKey>s</SecretAccessKey><AccessKeyId>a</AccessKeyId>
<Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></CreateSessionResult>"""


class Body(BytesIO):
    def stream(self, **_: Any) -> Any:
        yield self.read()


def uploaded(bucket: str, data: Any) -> Any:
    """Return the headers of the upload."""
    keys = {"access_key": "a", "secret_key": SecretStr("s")}
    store = S3Store(StoreConnection.model_validate({"url": f"s3://{bucket}/p"} | keys))
    sent: list[Any] = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        sent.append(request)
        body = Body(SESSION if "session" in request.url else b"")
        return AWSResponse(request.url, 200, {"ETag": '"1"'}, body)

    store._client.meta.events.register("before-send.s3", answer)
    store.put("k", data)
    return {name.lower(): value for name, value in sent[-1].headers.items()}


@pytest.mark.parametrize("kind", ["bytes", "file"])
def test_an_upload_says_its_length_its_md5_and_its_sha256(kind, tmp_path):
    (tmp_path / "f").write_bytes(b"shard")
    sent = uploaded("bucket", b"shard" if kind == "bytes" else tmp_path / "f")
    assert sent["content-md5"] == b64encode(md5(b"shard").digest())
    assert len(sent["x-amz-content-sha256"]) == 64
    assert int(sent["content-length"]) == 5
    assert not any("checksum" in name or "trailer" in name for name in sent)
    assert "transfer-encoding" not in sent


def test_a_directory_bucket_gets_no_md5_which_it_does_not_know():
    sent = uploaded("images--use1-az4--x-s3", b"shard")
    assert "content-md5" not in sent


@pytest.mark.parametrize(
    ("bucket", "variable", "value"),
    [
        ("Bad_Bucket!", "", ""),
        ("arn:aws:s3:::images", "", ""),
        ("images", "AWS_PROFILE", "nobody"),
        ("images", "AWS_CONFIG_FILE", __file__),
        ("images", "AWS_DEFAULTS_MODE", "fast"),
        ("images", "AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token"),
    ],
)
def test_what_boto3_finds_wrong_itself_is_fatal_in_one_line(monkeypatch, bucket, variable, value):
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/kaption")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    if variable:
        monkeypatch.setenv(variable, value)
    with pytest.raises(Fatal, match="S3") as refused:
        S3Store(StoreConnection(url=f"s3://{bucket}/p", region="eu-central-1")).get("k")
    assert "\n" not in str(refused.value)
