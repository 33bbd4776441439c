"""`[card]`: what people should know of the model and its data that no figure tells."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ftc.recipe.base import Strings, Table, Text, left_out

Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
Address = Annotated[str, Field(pattern=r"^https?://[^\s<>\"]+$")]


class CardData(Table):
    """`[card.data]`: what people should know of the compiled data."""

    licence: Text | None = None
    """Licence of the data: a name of the hub's list, or an SPDX expression."""

    description: Text | None = None
    """What the rows are, in a sentence or two."""

    collection: Text | None = None
    """How the rows came to be: who wrote them, when, and with whose consent."""

    personal_data: Text | None = None
    """What of persons is in the rows, and what was done about it."""

    limitations: Text | None = None
    """What the rows do not cover, and where they are one-sided."""

    citation: Text | None = None
    """How to cite the data, as BibTeX or as a line of text."""


class Card(Table):
    """`[card]`: what the model card says beside what was measured; nothing here changes the weights."""

    title: Text | None = None
    """The card's title; the name of the run unless given."""

    summary: Text | None = None
    """What the model does, in a sentence or two."""

    licence: Text | None = None
    """Licence of the weights: a name of the hub's list, `other`, or an SPDX expression."""

    licence_name: Text | None = None
    """Name of a licence that is `other`."""

    licence_link: Text | None = None
    """Address or file of a licence that is `other`."""

    language: Strings | None = None
    """Languages of the answers, as ISO 639 codes; `multilingual` and `code` may stand among them."""

    intended_use: Text | None = None
    """What the model is for, and for whom."""

    out_of_scope: Text | None = None
    """What it must not be used for."""

    limitations: Text | None = None
    """Known weaknesses, risks and one-sidedness."""

    authors: Strings | None = None
    """Who made it."""

    contact: Text | None = None
    """A mail address or web page where questions go."""

    homepage: Address | None = None
    """The model's web page."""

    citation: Text | None = None
    """How to cite the model, as BibTeX or as a line of text."""

    tags: Strings | None = None
    """Words by which the hub finds it, beside those that follow from the plan."""

    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")] | None = None
    """Version of model and data, as in 1.2.0."""

    published: Day | None = None
    """The day of publication, as year-month-day."""

    data: CardData = left_out()
