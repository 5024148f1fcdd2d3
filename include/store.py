"""Object stores that speak S3, where it is not Delta that reads or writes them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from include.settings import Settings

if TYPE_CHECKING:
    from obstore.store import S3Store

ANSWER_SECONDS = 5.0


def open_store(settings: Settings, uri: str, retries: int = 10) -> S3Store:
    """Return a store below the prefix of an address; key, region and server it finds in the environment.

    Args:
        settings: Say whether it may be asked unencrypted.
        uri: `s3://bucket/prefix`.
        retries: How often to repeat a request that is not answered.
    """
    from obstore.store import S3Store

    bucket, _, prefix = uri.partition("://")[2].partition("/")
    return S3Store(
        bucket,
        prefix=prefix or None,
        client_options={"allow_http": settings.aws_allow_http, "connect_timeout": timedelta(seconds=ANSWER_SECONDS)},
        retry_config={"max_retries": retries},
    )


def place(settings: Settings) -> str:
    """Return where the object store is, as part of a sentence."""
    return f"at {settings.aws_endpoint_url}" if settings.aws_endpoint_url else "of Amazon"


def problem(settings: Settings, uri: str, variable: str, said: str) -> str:
    """Return in one sentence what stands in the way, by the code that the server has given with its refusal.

    Args:
        settings: Name the server.
        uri: What was asked for.
        variable: The setting that has it.
        said: The error's own words, of many lines.
    """
    code = (re.findall(r"<Code>(\w+)</Code>", said) or [""])[0]
    message = (re.findall(r"<Message>(.*?)</Message>", said, re.DOTALL) or [said.partition("\n")[0]])[0]
    store, bucket = f"The object store {place(settings)}", uri.split("/")[2]
    match code:
        case "NoSuchBucket":
            return f"{store} has no bucket {bucket!r}: make it, or correct {variable}."
        case "AccessDenied" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "XAdminUserNotFound":
            return (
                f"{store} does not take the key for bucket {bucket!r} ({code}): correct AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or allow it to read, write and delete there."
            )
        case "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException":
            return f"{store} has bucket {bucket!r} in another region ({message}): correct AWS_REGION."
        case "":
            return f"{store} does not answer ({message}): see that it runs, or correct AWS_ENDPOINT_URL."
        case _:
            return f"{store} cannot be used ({code}: {message})."
