"""Configurations in the key languages of axolotl, LLaMA-Factory and TRL, written for these tests."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent

from ftc.importing.work import Imported

Import = Callable[..., Imported]

AXOLOTL = {
    "qlora_chat": """
        base_model: org/base-1b
        load_in_4bit: true
        adapter: qlora
        lora_r: 32
        lora_alpha: 16
        lora_dropout: 0.05
        lora_target_linear: true
        datasets:
          - path: rows/talks.jsonl
            ds_type: json
            type: chat_template
            field_messages: conversations
            message_property_mappings: {role: from, content: value}
            roles_to_train: [assistant]
            train_on_eos: turn
        chat_template: chatml
        sequence_len: 4096
        sample_packing: true
        pad_to_sequence_len: true
        val_set_size: 0.05
        evals_per_epoch: 4
        micro_batch_size: 2
        gradient_accumulation_steps: 4
        num_epochs: 3
        optimizer: paged_adamw_8bit
        lr_scheduler: cosine
        learning_rate: 2e-4
        warmup_ratio: 0.1
        bf16: auto
        tf32: false
        flash_attention: true
        gradient_checkpointing: true
        special_tokens: {pad_token: "<|pad|>"}
        output_dir: ./out/first
    """,
    "full_alpaca": """
        base_model: org/base-1b
        datasets:
          - path: org/instructions
            type: alpaca
        learning_rate: 0.00001
        optimizer: adamw_torch_fused
        bf16: true
        dataset_prepared_path: prepared
        wandb_project: mine
        deepspeed: zero3.json
    """,
    "lora_sharegpt_and_own_format": """
        base_model: ./models/base
        adapter: lora
        lora_r: 8
        lora_alpha: 16
        lora_target_modules: [q_proj, v_proj]
        peft_use_dora: true
        datasets:
          - path: talks.json
            type: sharegpt
            conversation: chatml
          - path: questions.csv
            type:
              field_instruction: question
              field_output: answer
              format: "Q: {instruction}\\nA:"
        learning_rate: 0.0002
        cosine_min_lr_ratio: 0.1
        early_stopping_patience: 2
        test_datasets:
          - path: held.json
            type: sharegpt
    """,
    "pretraining": """
        base_model: org/base-1b
        pretraining_dataset:
          - path: org/documents
            name: en
            text_column: body
            type: pretrain
        max_steps: 100
        learning_rate: 0.0003
        excess_length_strategy: truncate
        sample_packing: true
    """,
    "completion": """
        base_model: org/base-1b
        datasets: [{path: pages.txt, type: completion, field: text}]
        learning_rate: 0.0003
        loraplus_lr_ratio: 16
    """,
    "dpo": """
        base_model: org/base-1b
        rl: dpo
        rl_beta: 0.2
        adapter: lora
        lora_r: 8
        lora_alpha: 8
        lora_target_linear: true
        datasets:
          - path: org/pairs
            split: train
            type: chatml.intel
        learning_rate: 0.000005
    """,
    "dpo_turns": """
        base_model: org/base-1b
        rl: ipo
        datasets:
          - path: pairs.jsonl
            type: chat_template.default
            field_messages: talk
            field_chosen: good
            field_rejected: bad
            message_property_mappings: {role: who, content: what}
            roles: {user: [asker], assistant: [bot]}
        learning_rate: 0.000005
    """,
    "kto": """
        base_model: org/base-1b
        rl: kto
        rl_beta: 0.3
        kto_desirable_weight: 0.5
        datasets: [{path: judged.jsonl, type: chatml.prompt_pairs}]
        learning_rate: 0.000005
    """,
    "orpo": """
        base_model: org/base-1b
        rl: orpo
        orpo_alpha: 0.05
        datasets: [{path: org/pairs, type: chat_template.argilla}]
        learning_rate: 0.000005
    """,
    "simpo": """
        base_model: org/base-1b
        rl: simpo
        rl_beta: 1.5
        simpo_gamma: 0.4
        datasets: [{path: pairs.jsonl, type: {field_prompt: q, field_chosen: a, field_rejected: b}}]
        learning_rate: 0.000005
    """,
    "reward": """
        base_model: org/base-1b
        reward_model: true
        center_rewards_coefficient: 0.01
        datasets: [{path: org/pairs, type: bradley_terry.default}]
        learning_rate: 0.00001
    """,
    "grpo": """
        base_model: org/base-1b
        rl: grpo
        trl:
          beta: 0.01
          num_generations: 4
          max_completion_length: 64
          reward_funcs: [exact_match, mine.short]
          reward_weights: [1.0, 0.5]
          use_vllm: true
        datasets: [{path: prompts.jsonl, type: mine.prompts}]
        learning_rate: 0.000001
    """,
}

LLAMAFACTORY = {
    "lora_sharegpt": """
        model_name_or_path: org/base-1b
        stage: sft
        do_train: true
        finetuning_type: lora
        lora_rank: 16
        lora_target: all
        dataset: talks
        template: chatml
        cutoff_len: 1024
        packing: true
        neat_packing: true
        val_size: 0.1
        eval_strategy: steps
        eval_steps: 50
        per_device_train_batch_size: 2
        gradient_accumulation_steps: 8
        learning_rate: 1.0e-4
        num_train_epochs: 2.0
        lr_scheduler_type: cosine
        warmup_ratio: 0.1
        bf16: true
        ddp_timeout: 180000000
        output_dir: saves/one/sft
        overwrite_cache: true
        plot_loss: true
        report_to: none
    """,
    "qlora_alpaca": """
        model_name_or_path: org/base-1b
        finetuning_type: lora
        quantization_bit: 4
        double_quantization: false
        lora_target: q_proj,v_proj
        lora_alpha: 32
        use_rslora: true
        dataset: tasks
        max_samples: 500
        mask_history: true
        flash_attn: fa2
        fp16: true
    """,
    "full_mixture": """
        model_name_or_path: org/base-1b
        finetuning_type: full
        dataset: tasks,more
        mix_strategy: interleave_under
        interleave_probs: 0.7,0.3
        deepspeed: zero2.json
        pure_bf16: true
        optim: adafactor
    """,
    "freeze": """
        model_name_or_path: org/base-1b
        finetuning_type: freeze
        freeze_trainable_layers: 3
        dataset: tasks
        eval_dataset: more
    """,
    "pretraining": """
        model_name_or_path: org/base-1b
        stage: pt
        finetuning_type: full
        dataset: pages
        cutoff_len: 512
    """,
    "dpo": """
        model_name_or_path: org/base-1b
        stage: dpo
        pref_loss: sigmoid
        pref_beta: 0.2
        pref_ftx: 0.1
        dataset: pairs
    """,
    "orpo": """
        model_name_or_path: org/base-1b
        stage: dpo
        pref_loss: orpo
        pref_beta: 0.2
        dataset: talk_pairs
    """,
    "simpo": """
        model_name_or_path: org/base-1b
        stage: dpo
        pref_loss: simpo
        dataset: pairs
    """,
    "kto": """
        model_name_or_path: org/base-1b
        stage: kto
        kto_chosen_weight: 2.0
        dataset: judged
    """,
    "reward": """
        model_name_or_path: org/base-1b
        stage: rm
        dataset: pairs
    """,
}

INFO = {
    "talks": {
        "file_name": "talks.json",
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "system": "rules"},
        "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"},
    },
    "tasks": {
        "file_name": "tasks.jsonl",
        "columns": {"prompt": "task", "query": "input", "response": "done"},
    },
    "more": {
        "hf_hub_url": "org/more",
        "subset": "en",
        "columns": {"prompt": "q", "response": "a"},
    },
    "pages": {"file_name": "pages.jsonl", "columns": {"prompt": "body"}},
    "pairs": {
        "file_name": "pairs.jsonl",
        "ranking": True,
        "columns": {"prompt": "q", "chosen": "good", "rejected": "bad"},
    },
    "talk_pairs": {
        "file_name": "talk_pairs.jsonl",
        "ranking": True,
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"},
    },
    "judged": {
        "file_name": "judged.jsonl",
        "columns": {"prompt": "q", "response": "a", "kto_tag": "good"},
    },
}
"""The dataset_info.json beside LLaMA-Factory's files."""

TRL = {
    "lora_mixture": """
        model_name_or_path: org/base-1b
        datasets:
          - {path: json, data_files: rows.jsonl}
          - {path: org/talks, name: en, split: train, columns: [messages]}
        use_peft: true
        lora_r: 8
        lora_alpha: 32
        lora_target_modules: [q_proj, k_proj]
        learning_rate: 2.0e-4
        num_train_epochs: 2
        packing: true
        assistant_only_loss: true
        test_split_size: 0.1
        eval_strategy: steps
        eval_steps: 20
        logging_steps: 5
        report_to: [wandb, none_of_ours]
    """,
    "qlora": """
        model_name_or_path: org/base-1b
        dataset_name: org/talks
        dataset_config: en
        use_peft: true
        load_in_4bit: true
        lora_target_modules: all-linear
        eval_strategy: steps
        eval_steps: 50
        max_length: 512
        optim: paged_adamw_8bit
        push_to_hub: true
    """,
    "full_text": """
        model_name_or_path: ./base
        dataset_name: pages.jsonl
        dataset_text_field: body
        packing: true
        packing_strategy: wrapped
        lr_scheduler_type: warmup_stable_decay
        lr_scheduler_kwargs: {num_decay_steps: 10, min_lr_ratio: 0.1}
        max_steps: 50
        dtype: bfloat16
    """,
    "weighted": """
        model_name_or_path: org/base-1b
        datasets:
          - {path: parquet, data_files: {train: a.parquet}, fraction: 0.7}
          - {path: org/talks, fraction: 0.3}
        completion_only_loss: false
        adam_beta2: 0.95
    """,
    "dpo": """
        model_name_or_path: org/base-1b
        dataset_name: org/pairs
        beta: 0.2
        loss_type: [sigmoid, sft]
        loss_weights: [1.0, 0.2]
        precompute_ref_log_probs: true
        max_length: 256
    """,
    "kto": """
        model_name_or_path: org/base-1b
        dataset_name: org/judged
        desirable_weight: 0.7
        undesirable_weight: 1.2
    """,
    "reward": """
        model_name_or_path: org/base-1b
        dataset_name: org/pairs
        center_rewards_coefficient: 0.01
    """,
    "grpo": """
        model_name_or_path: org/base-1b
        dataset_name: org/prompts
        reward_funcs: [accuracy_reward]
        num_generations: 4
        max_completion_length: 64
        per_device_train_batch_size: 8
        use_vllm: true
    """,
    "orpo": """
        model_name_or_path: org/base-1b
        dataset_name: org/pairs
        beta: 0.3
    """,
}
PEERS = {"axolotl": AXOLOTL, "llamafactory": LLAMAFACTORY, "trl": TRL}
OBJECTIVES = {
    **dict.fromkeys(("pretraining",), "cpt"),
    **{name: name for name in ("dpo", "kto", "orpo", "simpo", "reward", "grpo")},
    "dpo_turns": "dpo",
}
"""The objective that each must have, where it is not to follow from the columns."""

ALL = [(peer, name) for peer, configs in PEERS.items() for name in configs]


def text_of(peer: str, name: str) -> str:
    """The text of a configuration."""
    return dedent(PEERS[peer][name]).lstrip("\n")
