"""What fits a card, drawn: a heat map of micro-batch against length, as text and as a page that needs nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainables.records.byte_sizes import GIB, memory_text

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Colour of a cell on a terminal of 256 colours, by the share of the card that it takes, up to that share.
SHADES = ((0.25, 22), (0.5, 28), (0.75, 64), (0.9, 136), (1.0, 166))
HEIGHT = 640  # pixels


def map_text(document: dict[str, Any], *, is_coloured: bool) -> str:
    """The maps of all cards and the limits by lever; a cell is the share of the card in per cent, a dot has no room."""
    lengths, sizes = document["sequence_lengths"], document["micro_batch_sizes"]
    shared = f" on each of {document['gpus']} GPUs that share the model (FSDP)" if document["gpus"] > 1 else ""
    lines = [f"{document['settings']['model']}, micro-batch (rows) by tokens of a sequence (columns){shared}:"]
    for card in document["cards"]:
        capacity = card["capacity_bytes"]
        lines += [
            "",
            f"{card['gpu']}, {memory_text(capacity)}: per cent of it that a step needs, · where it does not fit",
        ]
        rows = list(zip(sizes, card["device_bytes"], card["fits"], strict=True))
        for size, needs, fits in reversed(rows):
            cells = (_cell(need / capacity, fit, is_coloured) for need, fit in zip(needs, fits, strict=True))
            lines.append(f"{size:5d} {''.join(cells)}")
        lines.append(" " * 6 + "".join(f"{length:9d}" for length in lengths[2::3]))
        lines += _limits(lengths, card["limits"])
    return "\n".join(lines)


def _cell(share: float, fits: bool, is_coloured: bool) -> str:
    if not fits:
        return "  ·"
    text = f"{min(99, round(100 * share)):3d}"
    shade = next((shade for bound, shade in SHADES if share <= bound), SHADES[-1][1])
    return f"\033[97;48;5;{shade}m{text}\033[0m" if is_coloured else text


def _limits(lengths: list[int], limits: dict[str, list[int]]) -> list[str]:
    """The largest micro-batch that fits, at every third length."""
    width = max(map(len, limits))
    shown = slice(2, None, 3)
    lines = ["", f"{'largest micro-batch':{width}s} " + "".join(f"{length:6d}" for length in lengths[shown])]
    return lines + [f"{name:{width}s} " + "".join(f"{size:6d}" for size in by[shown]) for name, by in limits.items()]


def map_figure(document: dict[str, Any]) -> go.Figure:
    """Need in GiB over length and micro-batch for the first card, with a line at the limit of each card and lever."""
    import plotly.graph_objects as go

    from analysis.reporting.figure_style import DASHES, PALETTE, finish, label

    lengths, sizes, cards = document["sequence_lengths"], document["micro_batch_sizes"], document["cards"]
    first, settings = cards[0], document["settings"]
    figure = go.Figure()
    figure.add_heatmap(
        x=lengths,
        y=[str(size) for size in sizes],
        z=[[need / GIB for need in row] for row in first["device_bytes"]],
        zmin=0,
        zmax=2 * first["capacity_bytes"] / GIB,
        customdata=[["fits" if fit else "does not fit" for fit in row] for row in first["fits"]],
        colorscale="Cividis",
        colorbar={"title": {"text": "GiB"}},
        xgap=1,
        ygap=1,
        name="",
        hovertemplate="micro-batch %{y} x %{x} tokens<br>%{z:.1f} GiB, %{customdata}<extra></extra>",
    )
    number = 0
    for card in cards:
        for lever, limits in card["limits"].items():
            figure.add_scatter(
                x=lengths,
                y=[_place(limit, sizes) for limit in limits],
                text=[f"{limit} sequences" for limit in limits],
                mode="lines",
                line={
                    "shape": "hvh",
                    "width": 3,
                    "color": ("#FFFFFF", *PALETTE[1:])[number % len(PALETTE)],
                    "dash": DASHES[number % len(DASHES)],
                },
                name=label(f"{card['gpu']}, {memory_text(card['capacity_bytes'])}: {lever}"),
                hovertemplate="%{x} tokens: %{text} at most<extra>%{fullData.name}</extra>",
            )
            number += 1
    title = label(f"What fits: {settings['model']}, {settings['precision']} (predicted)")
    finish(figure, title, label(f"need of a step on {first['gpu']}; below a line it fits"), HEIGHT)
    figure.update_layout(xaxis_title="tokens of a sequence", yaxis_title="micro-batch", yaxis_type="category")
    return figure


def _place(limit: int, sizes: list[int]) -> float:
    """Where a limit lies among the rows: half a row above the largest size that it covers."""
    return sum(size <= limit for size in sizes) - 0.5
