select
  question as prompt,
  anser as completion
from faq
