"""Conversations proved from recordings of their template, instead of a rendering and a trace of each.

A template is run once for a shape of conversation (`shape`), with stand-ins (`recording`) in place of
what is free: the strings and numbers of messages. The stand-ins note what the template asks of them
(questions with answers) and what it makes of them (`expression`). What it writes is then fixed text and
expressions, one after the other (`skeleton`). Another row of the shape that answers every question
alike is rendered by filling in the expressions (`replay`), and its turns stand at the places that were
proved once (`turns`).

Why the text is right. A rendering is a computation over the template's source, its variables and
functions, the shape, and the free strings. Everything but the free strings is the same for the rows of
one shape: the shape holds the type, order and value of all else, and templates that use a clock or
chance are not recorded (`specialiser`). Of the free strings, the computation has only what the
stand-ins give it:

- A stand-in is not a `str` and has no characters. Python code gets at it through its methods alone, and
  code in C which wants a string raises TypeError. There is no way around: a stand-in that is printed,
  formatted, hashed, iterated, indexed by, pickled or converted to a number ends the recording.
- Each method that does not end the recording gives another stand-in, whose expression evaluates to what
  `str` would give; or asks the recorder, which notes the question and its answer for this row.
- `isinstance` says `str` (or `int`, `float`) of a stand-in, as it is one in every row of the shape.
- Whatever ends a recording is remembered, so that code which swallows exceptions cannot hide it.

So the computation is a function of the answers. By induction over its steps, two rows with the same
answers take the same steps, ask the same questions in the same order and write the same expressions.
The questions of a shape therefore make a tree (`tree`); a template that contradicts it is not replayed.

What is assumed of Jinja, and how it is held: it reaches values through operators, `bool`, `isinstance`,
its attribute and item lookups, filters, tests, calls, `concat` and `finalize`, and all of the last
seven are replaced in `environment`. There, filters, tests and functions take a stand-in only if they
are listed, because their code was read: they pass values on, or look at them through the above. Any
other that is handed a stand-in, or a value of which it is not known whether it holds one, ends the
recording. Output statements call `finalize` and `str`; the chunk that carries a stand-in is a string
subclass which only `concat` may take apart, and text that is not one of the known types is refused. A
shape's recording must give the recorded row's plain rendering and its traced one, character by
character and origin by origin, or it is thrown away.

What is bounded: the length of every text that a rendering makes is bounded for each recording, and a
row that could reach a template's limit is rendered itself. Loops take the same turns, as they depend on
the answers alone; the limit of seconds is not replayed. Shapes, recordings, plans and the characters in
them are limited in number, and the shapes met longest ago go first.

Everything else - a shape not yet recorded, a failing template, a turn that is not proved, its reason -
is left to `mask.proof` over the row's own rendering and trace. Rows that are sampled for the audit are
proved in both ways and their pieces compared.
"""
