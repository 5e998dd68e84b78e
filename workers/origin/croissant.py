"""The dataset described in Croissant 1.0 (https://docs.mlcommons.org/croissant/)."""

from __future__ import annotations

from typing import Any

from kaption.objectstore.dataset.layout import TABLES, TARS
from kaption.objectstore.dataset.table import table_schema

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_TYPES = {"string": "sc:Text", "int64": "sc:Integer", "double": "sc:Float"}


def croissant(summary: dict[str, Any]) -> dict[str, Any]:
    """Describe the tars and the tables, and the columns that are no lists.

    The data objects have no fixed list: compaction replaces them, and manifests say which count.
    """
    licences = [row["licence"] for row in summary["licences"] if row["licence"] is not None]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": summary["dataset"],
        "description": f"{summary['pairs']} aligned image-text pairs, written by Kaption.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": licences[:100],
        "datePublished": summary["made_at"],
        "version": "1.0.0",
        "isLiveDataset": True,
        "distribution": [
            _files("tables", TABLES, "application/x-parquet"),
            _files("tars", TARS, "application/x-tar"),
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "pairs",
                "name": "pairs",
                "key": {"@id": "pairs/key"},
                "field": [
                    _field(column.name, _TYPES[str(column.type)])
                    for column in table_schema()
                    if str(column.type) in _TYPES
                ],
            }
        ],
    }


def _files(name: str, includes: str, media_type: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "encodingFormat": media_type,
        "includes": includes,
    }


def _field(name: str, kind: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"pairs/{name}",
        "name": name,
        "dataType": kind,
        "source": {"fileSet": {"@id": "tables"}, "extract": {"column": name}},
    }
