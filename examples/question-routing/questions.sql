-- Every distinct question with its answer type in a word. Lines that are no question are left out, and so
-- are repeated questions and those which the data labels in two ways.
select
  regexp_extract(line, '^[A-Z]+:[a-z]+ (.+)$', 1) as question,
  case split_part(line, ':', 1)
    when 'ABBR' then 'abbreviation'
    when 'DESC' then 'description'
    when 'ENTY' then 'thing'
    when 'HUM' then 'person'
    when 'LOC' then 'place'
    when 'NUM' then 'number'
  end as answer
from lines
where answer is not null and question <> ''
qualify
  row_number() over (partition by question order by rowid) = 1
  and count(distinct answer) over (partition by question) = 1
