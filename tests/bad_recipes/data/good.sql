select question as prompt, answer as completion from faq
