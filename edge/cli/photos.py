"""`ostiary embed` and `ostiary verify`: photos and a bundle, without a device."""

from __future__ import annotations

import io
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.markup import escape

from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.cli.console import err, out, print_json, progress
from ostiary.edge.core.faces.upright import is_upright
from ostiary.edge.core.scores.calibration import threshold
from ostiary.edge.core.scores.verifier import probability
from ostiary.edge.core.types import Floats, Image
from ostiary.edge.errors import PhotoError
from ostiary.edge.files import list_text, write_atomically
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.vision.batch import NO_FACE, UPRIGHT_NEEDED, PhotoResult, embed_photos
from ostiary.edge.vision.pipeline import Pipeline, open_pipeline
from ostiary.edge.vision.turns import as_upright_as_it_gets

BundleDir = Annotated[Path, typer.Option("--bundle", help="Bundle directory.")]
Backend = Annotated[str, typer.Option("--backend", help="Backend: auto, openvino or onnxruntime.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


class Role(Enum):
    """What photos are embedded for: as the stored templates, or as the probes of a door."""

    TEMPLATE = "template"
    PROBE = "probe"


def register(app: typer.Typer) -> None:
    app.command()(embed)
    app.command()(verify)


def embed(
    bundle: BundleDir,
    photo_list: Annotated[
        Path, typer.Option("--list", help="File with the path of one photo on each line.")
    ],
    output: Annotated[Path, typer.Option("--out", help="The .npy file to write.")],
    role: Annotated[
        Role,
        typer.Option(
            "--as",
            help="Embed as templates are, in float, or as a door embeds its probes, in int8.",
        ),
    ] = Role.TEMPLATE,
    backend: Backend = "auto",
    json: Json = False,
) -> None:
    """Embed many photos on all cores: row i of a float32 (n, dim) array is photo i.

    A photo without a face, one whose face is not upright in any turn, or one that cannot be read,
    gives a row of NaN and is named in the summary. A photo that lies on its side or upside down is
    turned upright. If a photo shows several faces, the most prominent one is embedded. A bundle
    without int8 embeds probes in float too; the summary tells the precision.

    Example: `ostiary embed --bundle bundle --list photos.txt --out embeddings.npy`

    Example: `ostiary embed --bundle bundle --list photos.txt --out probes.npy --as probe`
    """
    loaded = bundles.load(bundle)
    photos = _listed(photo_list)
    bar, done = progress("embedding")
    with bar:
        results = embed_photos(loaded, photos, backend, done, role is Role.PROBE)
    rows = np.full((len(results), loaded.dim), np.nan, np.float32)
    for row, result in zip(rows, results, strict=True):
        if result.embedding is not None:
            row[:] = result.embedding
    buffer = io.BytesIO()
    np.save(buffer, rows)
    write_atomically(output, buffer.getvalue())
    if all(result.embedding is None for result in results):
        raise PhotoError(
            f"none of {len(photos)} photos gave an embedding; the first: {results[0].problem}"
        )
    _summarise(photos, results, loaded.encoder_id, role, as_json=json)


def _listed(path: Path) -> list[Path]:
    try:
        lines = list_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PhotoError(f"cannot read the list {path}: {error}") from error
    photos = [_named(line) for line in lines if line.strip()]
    if not photos:
        raise PhotoError(f"{path} names no photos", "write the path of one photo on each line")
    return photos


def _named(line: str) -> Path:
    """The path on a line; blanks around it count only if there is no such file without them."""
    path = Path(line.strip())
    return Path(line) if line != line.strip() and Path(line).is_file() else path


def _summarise(
    photos: list[Path], results: list[PhotoResult], encoder: str, role: Role, as_json: bool
) -> None:
    missing = [(p, r) for p, r in zip(photos, results, strict=True) if r.embedding is None]
    several = sum(1 for r in results if r.faces > 1)
    turned = sum(1 for r in results if r.degrees)
    precision, found = results[0].precision, len(photos) - len(missing)
    if as_json:
        problems = [{"photo": str(p), "problem": r.problem} for p, r in missing]
        return print_json(
            {
                "photos": len(photos),
                "embedded": found,
                "several_faces": several,
                "turned": turned,
                "as": role.value,
                "precision": precision,
                "encoder": encoder,
                "problems": problems,
            }
        )
    out.print(f"{found} of {len(photos)} photos embedded as {role.value}s, in {precision}")
    out.print(f"{several} with several faces; the most prominent one was taken")
    if turned:
        out.print(f"{turned} turned, so that the face is upright")
    named = (NO_FACE, UPRIGHT_NEEDED)
    kinds = Counter(r.problem if r.problem in named else "not readable" for _, r in missing)
    for kind, count in kinds.items():
        out.print(f"{count} {kind}")
    for path, result in missing[:20]:
        err.print(escape(f"  {path}: {result.problem}"))
    if len(missing) > 20:
        err.print(f"  and {len(missing) - 20} more (--json names all)")


def verify(
    bundle: BundleDir,
    a: Annotated[Path, typer.Argument(help="Photo for the template.")],
    b: Annotated[Path, typer.Argument(help="Photo for the probe.")],
    fmr: Annotated[float, typer.Option(min=1e-9, max=0.5, help="Wanted false match rate.")] = 1e-3,
    head: Annotated[
        bool, typer.Option("--verifier", help="Require that the bundle's logistic head agrees.")
    ] = False,
    backend: Backend = "auto",
    json: Json = False,
) -> None:
    """Compare two photos 1:1: A as the template, B as the probe.

    Exit code 0: same person, 1: different people, 2: bad input. With --verifier the comparison is
    that of a door whose profile says `verifier = true`.

    Example: `ostiary verify --bundle bundle card.jpg door.jpg`
    """
    pipeline = open_pipeline(bundles.load(bundle), backend)
    tau = threshold(pipeline.curve(), fmr, 1)
    judge = _Head(pipeline, fmr) if head else None
    template = pipeline.embed(_aligned(pipeline, a))
    probe = pipeline.probe(_aligned(pipeline, b))
    score = float(template @ probe)
    said = judge.said(template, probe) if judge else {}
    same = score >= tau.tau and (judge is None or said["probability"] >= said["least_probability"])
    result = {
        "same": same,
        "score": round(score, 6),
        "squared_distance": round(2 - 2 * score, 6),
        "tau": tau.tau,
        "fmr": fmr,
        "tau_supported": tau.supported and (judge is None or judge.least.supported),
        "backend": pipeline.backend,
        **said,
    }
    if json:
        print_json(result)
    else:
        out.print("[green]same[/]" if same else "[red]different[/]")
        out.print(f"score {score:.4f}   squared distance {2 - 2 * score:.4f}   tau {tau.tau:.3f}")
        if judge is not None:
            out.print(
                "probability {probability:.4f}, required {least_probability:.4f}".format(**said)
            )
        if not result["tau_supported"]:
            err.print(
                f"the DET curve does not reach an FMR of {fmr}; the strictest measured tau is used"
            )
    raise typer.Exit(0 if same else 1)


class _Head:
    """The bundle's logistic head, and the least probability that a false match rate requires."""

    def __init__(self, pipeline: Pipeline, fmr: float) -> None:
        self._verifier, judged = pipeline.head()
        self.least = threshold(judged, fmr, 1)

    def said(self, template: Floats, probe: Floats) -> dict[str, float]:
        _, said = self._verifier.likeliest(template[None], probe)
        return {"probability": said, "least_probability": probability(self.least.tau)}


def _aligned(pipeline: Pipeline, path: Path) -> Image:
    upright = as_upright_as_it_gets(pipeline, read_photo(path))
    if not upright.faces:
        raise PhotoError(f"{path}: {NO_FACE} was found")
    face = upright.faces[0]
    if not is_upright(face.upright):
        raise PhotoError(f"{path}: {UPRIGHT_NEEDED}", "give a photo with the head upright")
    if len(upright.faces) > 1:
        err.print(escape(f"{path}: {len(upright.faces)} faces; the most prominent one is taken"))
    if upright.degrees:
        err.print(escape(f"{path}: turned by {upright.degrees} degrees, so that it is upright"))
    return pipeline.align(upright.image, face)
