-- Questions with their answer type in a word, in plain text: those that are asked (their digest begins with 01 or
-- 02), or the others.
select
  'Question: ' || regexp_extract(line, '^[A-Z]+:[a-z]+ (.+)$', 1) || E'\nAnswer type:' as prompt,
  case split_part(line, ':', 1)
    when 'ABBR' then ' abbreviation' when 'DESC' then ' description' when 'ENTY' then ' thing'
    when 'HUM' then ' person' when 'LOC' then ' place' when 'NUM' then ' number'
  end as completion
from lines
where completion is not null and prompt <> E'Question: \nAnswer type:'
  and (substr(md5(prompt), 1, 2) in ('01', '02')) = $asked
qualify
  row_number() over (partition by prompt order by rowid) = 1
  and count(distinct completion) over (partition by prompt) = 1
