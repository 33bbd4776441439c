select question as prompt
  answer completion,
from
