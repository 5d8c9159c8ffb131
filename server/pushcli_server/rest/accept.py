"""Whether a request's `Accept` covers what a resource has."""


def accepts(header: str | None, media_type: str) -> bool:
    """Whether the most specific range that matches has a quality above 0.

    No header accepts everything but a stream of events, which must be asked for.
    """
    if header is None or not header.strip():
        return media_type != "text/event-stream"
    kind = media_type.partition("/")[0]
    ranks = {media_type: 2, f"{kind}/*": 1, "*/*": 0, "*": 0}
    best, quality = -1, 0.0
    for item in header.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        rank = ranks.get(name, -1)
        if rank > best:
            best, quality = rank, _quality(parameters)
    return quality > 0


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
