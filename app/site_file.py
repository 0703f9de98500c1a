"""A site's document from a YAML or JSON file, with errors that name the path and the value."""

import re
from pathlib import Path

import yaml
from pydantic import ValidationError

from app.errors import InvalidInputError
from app.field_errors import refused_file
from app.site import Site


def read_site(file: Path) -> Site:
    """Raises `InvalidInputError` for what is no YAML or no site, `OSError` for a file that cannot be read."""
    try:
        document = yaml.load(file.read_text("utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InvalidInputError(str(file), f"is no YAML{where}: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InvalidInputError(str(file), f"is no YAML: {error}") from error
    if not isinstance(document, dict):
        raise InvalidInputError(str(file), f"holds a {type(document).__name__}, not a site")
    try:
        return Site.model_validate(document)
    except ValidationError as refused:
        raise refused_file(file, refused, "site") from refused


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads ``22:00`` as the number 1320 and Norway's ``NO`` as false: here they stay text."""


_NARROWED = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?[0-9]+$"),
    "tag:yaml.org,2002:bool": re.compile(r"(true|True|false|False)$"),
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, _NARROWED.get(tag, pattern)) for tag, pattern in resolvers]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
