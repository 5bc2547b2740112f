"""Times as strangers write them to UTC: ISO 8601 with or without zone, dates, epoch numbers, mail dates.

Pure: a column in, a column out; what cannot be read is null and the caller says so. Times without zone are UTC.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

import polars as pl

TIME = pl.Datetime("us", "UTC")
_FIRST_YEAR, _LAST_YEAR = 1970, 2100
_USUAL = "%Y-%m-%dT%H:%M:%SZ"
_ISO = (
    r"^(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?"
    r"\s*(?:Z|z|UTC|GMT|([+-])(\d{2}):?(\d{2})?)?)?$"
)
_COMPACT_DATE = r"^(?:19|20)\d{6}$"
_NUMBER = r"^\d{1,19}(?:\.\d{1,12})?$"
# Epoch numbers by size: seconds until the year 5138, then milli-, micro- and nanoseconds.
_MILLIS_FROM, _MICROS_FROM, _NANOS_FROM = 1e11, 1e14, 1e17


def parse_times(column: pl.Series) -> pl.Series:
    """`Datetime("us", "UTC")` series of the same length; null where the value is empty or no time of 1970 to 2100."""
    if column.dtype == pl.Null:
        return pl.Series(column.name, [None] * len(column), dtype=TIME)
    if isinstance(column.dtype, pl.Datetime):
        times = column.dt.cast_time_unit("us")
        times = times.dt.convert_time_zone("UTC") if column.dtype.time_zone else times.dt.replace_time_zone("UTC")
    elif column.dtype == pl.Date:
        times = column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    elif column.dtype.is_numeric():
        times = pl.DataFrame({"t": column.cast(pl.Float64)}).select(_from_epoch(pl.col("t"))).to_series()
    else:
        texts = column.cast(pl.String).str.strip_chars()
        times = texts.str.to_datetime(_USUAL, time_unit="us", strict=False).dt.replace_time_zone("UTC")
        rest = (times.is_null() & texts.is_not_null() & (texts != "")).arg_true()
        if len(rest):
            times = times.scatter(rest, _from_text(texts.gather(rest)))
    is_known = times.dt.year().is_between(_FIRST_YEAR, _LAST_YEAR)
    return pl.DataFrame({"t": times}).select(pl.when(is_known).then("t")).to_series().alias(column.name)


def _from_epoch(number: pl.Expr) -> pl.Expr:
    """Times of epoch numbers in any of the four usual units; null when out of range."""
    seconds = (
        pl.when(number < _MILLIS_FROM)
        .then(number)
        .when(number < _MICROS_FROM)
        .then(number / 1e3)
        .when(number < _NANOS_FROM)
        .then(number / 1e6)
        .otherwise(number / 1e9)
    )
    return (
        pl.when((seconds >= 0) & (seconds < _MILLIS_FROM))
        .then((seconds * 1e6).round(0))
        .cast(pl.Int64, strict=False)
        .cast(pl.Datetime("us"))
        .dt.replace_time_zone("UTC")
    )


def _from_text(texts: pl.Series) -> pl.Series:
    text = pl.col("text")
    part = [text.str.extract(_ISO, group) for group in range(11)]
    clock = pl.concat_str(
        *(part[1], pl.lit("-"), part[2].str.zfill(2), pl.lit("-"), part[3].str.zfill(2), pl.lit(" ")),
        *(
            part[4].fill_null("00").str.zfill(2),
            pl.lit(":"),
            part[5].fill_null("00"),
            pl.lit(":"),
            part[6].fill_null("00"),
        ),
        *(pl.lit("."), part[7].fill_null("0").str.head(6).str.pad_end(6, "0")),
    )
    sign = pl.when(part[8] == "-").then(-1).otherwise(1)
    offset_minutes = sign * (part[9].cast(pl.Int64) * 60 + part[10].cast(pl.Int64).fill_null(0))
    iso = clock.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False).dt.replace_time_zone("UTC")
    compact = pl.when(text.str.contains(_COMPACT_DATE)).then(text)
    frame = pl.DataFrame({"text": texts}).with_columns(
        time=pl.coalesce(
            iso - pl.duration(minutes=offset_minutes.fill_null(0)),
            compact.str.to_datetime("%Y%m%d", time_unit="us", strict=False).dt.replace_time_zone("UTC"),
            _from_epoch(pl.when(text.str.contains(_NUMBER)).then(text).cast(pl.Float64, strict=False)),
        ).cast(TIME)
    )
    rest = (frame["time"].is_null() & frame["text"].str.contains(r"^[A-Za-z]{3},? +\d|^\d{1,2} [A-Za-z]{3}")).arg_true()
    if not len(rest):
        return frame["time"]
    return frame["time"].scatter(rest, [_from_mail_date(value) for value in frame["text"].gather(rest)])


def _from_mail_date(text: str) -> object:
    """Time of an RFC 5322 date such as 'Tue, 24 Feb 2015 11:35:52 -0800'; None when it is none."""
    try:
        parsed = parsedate_to_datetime(text)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
