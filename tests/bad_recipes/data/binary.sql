select ÿþ from faq
