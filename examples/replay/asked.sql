-- The questions that are asked and never trained on: those whose digest begins with 01 or 02.
select
  'Question: ' || regexp_extract(line, '^[A-Z]+:[a-z]+ (.+)$', 1) || E'\nAnswer type:' as prompt,
  case split_part(line, ':', 1)
    when 'ABBR' then ' abbreviation' when 'DESC' then ' description' when 'ENTY' then ' thing'
    when 'HUM' then ' person' when 'LOC' then ' place' when 'NUM' then ' number'
  end as reference
from lines
where reference is not null and prompt <> E'Question: \nAnswer type:'
  and substr(md5(prompt), 1, 2) in ('01', '02')
qualify
  row_number() over (partition by prompt order by rowid) = 1
  and count(distinct reference) over (partition by prompt) = 1
