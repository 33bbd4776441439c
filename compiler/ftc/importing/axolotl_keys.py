"""axolotl's keys that stand on their own, and those that ftc has no counterpart of."""

from __future__ import annotations

from ftc.importing import huggingface as hf
from ftc.importing.draft import Draft, plain
from ftc.importing.rules import Rule, apply, fine, flag, group, lost, number, passed, positive, texts, when
from ftc.importing.trl_objectives import rewards

KERNELS = "ftc takes the kernels that device and model have"
DEVICE = f"{hf.ONE_DEVICE}; no sharding yet"
INFERENCE = "it is no part of training; `ftc chat` and `ftc generate` ask a run's model"
CACHE = "ftc keeps compiled rows by the digest of what they are made of"

INITS = {
    "gaussian": "gaussian",
    "olora": "olora",
    "pissa": "pissa",
    "pissa_niter_16": "pissa_fast",
    "eva": "eva",
}

_SAMPLED = {"num_generations": "generations", "max_completion_length": "max_new_tokens"} | {
    name: name for name in ("temperature", "top_p", "beta")
}


def initial(draft: Draft) -> None:
    """What adapters begin as."""
    value = draft.get("peft_init_lora_weights")
    if value is True or value is None:
        draft.fine("peft_init_lora_weights", "PEFT's default, as in ftc")
    elif value in INITS:
        draft.carry("peft_init_lora_weights", "tune.init", INITS[value])
    else:
        draft.lose("peft_init_lora_weights", "ftc has no such beginning", "tune.init, with one of its words")


def sampling(draft: Draft) -> None:
    """The options of objectives that sample answers, in the table `trl`."""
    at = draft.within("trl")
    for key, option in _SAMPLED.items():
        value = at.number(key)
        if value is not None:
            at.carry(key, f"train.objective.{option}", plain(value))
        elif option == "max_new_tokens":
            draft.put(f"train.objective.{option}", 512)
    loss = at.text("loss_type")
    if loss:
        at.carry("loss_type", "train.objective.loss", loss)
    scale = at.flag("scale_rewards")
    if scale is not None:
        at.carry("scale_rewards", "train.objective.scale", "group" if scale else "none")
    rewards(at)
    apply(TRL_RULES, at)


TRL_RULES: dict[str, Rule] = {
    **group(
        fine("ftc samples with transformers itself"),
        """
        use_vllm vllm_mode vllm_server_host vllm_server_port vllm_server_timeout vllm_enable_sleep_mode
        """,
    ),
    **group(
        fine(hf.LOGGED),
        """
        log_completions num_completions_to_print
        """,
    ),
    "chat_template_kwargs": lost("they belong to the template", "render.variables"),
}

RULES: dict[str, Rule] = {
    "weight_decay": number("train.weight_decay"),
    "neftune_noise_alpha": positive("train.neftune"),
    "noisy_embedding_alpha": positive("train.neftune"),
    "lora_dropout": number("tune.dropout"),
    "torch_compile": when("train.compile", value=True),
    "save_steps": hf.RULES["save_steps"],
    "auto_find_batch_size": hf.RULES["auto_find_batch_size"],
    "metric_for_best_model": hf.best,
    "greater_is_better": hf.best,
    "liger_fused_linear_cross_entropy": when("train.kernels", "liger"),
    "dataset_exact_deduplication": when("data.dedupe", "exact"),
    "adam_beta1": passed(0.9),
    "adam_beta2": passed(0.999),
    "adam_epsilon": passed(1e-8),
    "tokens": texts("model.new_tokens"),
    "chat_template_kwargs": lost("they belong to the template", "render.variables"),
    "trust_remote_code": lost(
        "an import gives no file the right to run code", "model.trust_remote_code = true, after a look at it"
    ),
    "special_tokens": lost(
        "ftc leaves the tokenizer's tokens as they are", "model.new_tokens, for more of them"
    ),
    "added_tokens_overrides": lost("ftc leaves the tokenizer's tokens as they are", "model.new_tokens"),
    "default_system_message": lost("it would stand in rows that have none", "[render] system"),
    "eot_tokens": fine("where a turn ends is proved from the template"),
    "unfrozen_parameters": lost(
        "ftc names modules, not parameters", '[tune] method = "freeze", modules = […]'
    ),
    "lora_model_dir": lost("a run starts from a whole model", 'model.base = { recipe = "PATH" }'),
    "lora_target_parameters": lost("adapters stand on layers", "tune.targets, with names of layers"),
    "min_sample_len": lost(
        "a query leaves rows out", "where length(text) > … in `data.query`", off=(None, 0, 2)
    ),
    "max_prompt_len": fine("ftc limits whole rows, by data.max_length"),
    "group_by_length": hf.RULES["group_by_length"],
    "curriculum_sampling": lost("rows are trained in an order by the seed"),
    "save_safetensors": fine("ftc writes safetensors alone"),
    "plugins": lost("ftc loads no code of plugins", "train.kernels, for those of kernels"),
    "strict": fine("ftc takes no unknown key in any case"),
    "use_kernels": flag("train.kernels", yes="auto", no="none"),
    "shuffle_merged_datasets": lost("rows are trained in an order by the seed", off=(True, None)),
    "loraplus_lr_embedding": fine("it belongs to loraplus_lr_ratio"),
    "bnb_config_kwargs": lost("they are details of bitsandbytes", "tune.quantise and tune.double_quantise"),
    "hub_model_id": lost(hf.HUB, hf.PUBLISH),
    "push_dataset_to_hub": lost(hf.HUB),
    "tokenizer_config": lost("ftc takes the tokenizer of the base model"),
    "base_model_config": lost("ftc takes the configuration of the base model"),
    "merge_lora": fine("`ftc export RUN --to merged` merges"),
    "save_strategy": fine(hf.SAVES),
    **group(
        fine(hf.SAVES),
        """
        saves_per_epoch save_total_limit save_first_step save_only_model resume_from_checkpoint
        auto_resume_from_checkpoints dynamic_checkpoint hub_strategy hub_revision
        """,
    ),
    **group(
        fine(hf.LOGGED),
        """
        logging_steps include_tokens_per_second include_tkps profiler_steps profiler_steps_start
        use_otel_metrics otel_metrics_host otel_metrics_port
        """,
    ),
    **group(
        fine(CACHE),
        """
        dataset_prepared_path num_dataset_shards_to_save dataset_processes dataset_num_proc
        dataset_keep_in_memory skip_prepare_dataset is_preprocess preprocess_iterable
        shuffle_before_merging_datasets remove_unused_columns streaming streaming_multipack_buffer_size
        pretrain_multipack_buffer_size
        """,
    ),
    **group(
        fine("ftc reads compiled rows from disk"),
        """
        dataloader_pin_memory dataloader_num_workers dataloader_prefetch_factor dataloader_drop_last
        """,
    ),
    **group(
        fine(KERNELS),
        """
        xformers_attention sdp_attention flex_attention flash_attention eager_attention
        flash_attn_cross_entropy flash_attn_fuse_mlp flash_attn_rms_norm flash_optimum sage_attention
        attn_implementation s2_attention flex_attn_compile_kwargs tf32 lora_mlp_kernel lora_qkv_kernel
        lora_o_kernel lora_embedding_kernel sdpa_varlen fused_attn_kernel experts_implementation
        chunked_cross_entropy liger_rope chunked_cross_entropy_num_chunks liger_rms_norm
        liger_glu_activation liger_layer_norm liger_cross_entropy cut_cross_entropy
        torch_compile_backend torch_compile_mode torch_compile_options large_head_attention
        flash_attn_d512 gemma4_hybrid_attn_impl
        """,
    ),
    **group(
        fine("ftc packs over the whole set, by best fit"),
        """
        eval_sample_packing pad_to_sequence_len sample_packing_group_size sample_packing_bin_size
        sample_packing_sequentially batch_flattening sample_packing_eff_est multipack_real_batches
        pad_to_multiple_of pretrain_multipack_attn pretraining_sample_concatenation
        sample_packing_mp_start_method
        """,
    ),
    **group(
        fine("the model's own configuration says it"),
        """
        model_type type_of_model tokenizer_type processor_type is_falcon_derived_model
        is_llama_derived_model is_mistral_derived_model is_qwen_derived_model tokenizer_use_fast
        tokenizer_legacy cls_model_config tokenizer_use_mistral_common tokenizer_save_jinja_files
        """,
    ),
    **group(
        fine("a tracker's project and run have the recipe's name"),
        """
        wandb_name wandb_run_id wandb_mode wandb_entity wandb_watch wandb_log_model mlflow_tracking_uri
        mlflow_run_name mlflow_experiment_name wandb_project trackio_project_name trackio_run_name
        trackio_space_id hf_mlflow_log_artifacts
        """,
    ),
    **group(
        fine(INFERENCE),
        """
        gradio_title gradio_share gradio_server_name gradio_server_port gradio_max_new_tokens
        gradio_temperature generate_samples num_generation_samples generation_max_new_tokens
        generation_temperature generation_top_p generation_top_k generation_prompt_ratio
        generation_do_sample vllm eval_table_size eval_max_new_tokens
        """,
    ),
    **group(
        fine(hf.ONE_DEVICE),
        """
        ddp ddp_timeout ddp_bucket_cap_mb ddp_broadcast_buffers local_rank world_size
        ddp_find_unused_parameters device device_map use_ray ray_run_name ray_num_workers
        resources_per_worker max_memory gpu_memory_limit low_cpu_mem_usage lora_on_cpu
        qlora_sharded_model_loading experimental_skip_move_to_device
        """,
    ),
    **group(
        lost(DEVICE),
        """
        deepspeed deepcompile fsdp fsdp_config fsdp_version fsdp_final_state_dict_type dp_shard_size
        dp_replicate_size sequence_parallel_degree context_parallel_size tensor_parallel_size
        heads_k_stride ring_attn_func accelerator_config
        """,
    ),
    "gradient_checkpointing_kwargs": fine("ftc takes the form that keeps the fewest activations"),
    "eval_batch_size": hf.eval_batch,
    "eval_sequence_len": fine("held-out rows have the limit of the others"),
    "hf_use_auth_token": fine("the hub's token comes from the environment"),
    "comet_api_key": fine("a recipe holds no secret; the environment does"),
    "dpo_padding_free": fine("ftc decides it by device and model"),
    "precompute_ref_log_probs": fine("ftc decides it by device and model"),
    "dpo_generate_during_eval": fine("`ftc eval` measures answers"),
    **group(
        lost("ftc reports to trackio, wandb, mlflow and tensorboard", "train.trackers"),
        """
        use_comet
        """,
    ),
}

_REST = """
    resize_token_embeddings_to_32x mean_resizing_embeddings shrink_embeddings embeddings_skip_upcast
    reinit_weights trainer_cls trl ebft qat quantization process_reward_model num_labels
    dpo_use_weighting dpo_use_liger_kernel dataset_shard_num dataset_shard_idx do_causal_lm_eval
    eval_causal_lm_metrics do_bench_eval bench_dataset bench_split loss_watchdog_threshold
    loss_watchdog_patience gc_steps torch_empty_cache_steps gc_collect_steps fp8
    fp8_enable_fsdp_float8_all_gather selective_checkpointing activation_offloading layer_offloading
    freeze_mm_modules use_pose pose_split_on_token_ids pose_max_context_len pose_num_chunks
    quantize_moe_experts scaling_softmax scaling_softmax_factor scaling_softmax_bias use_eaft eaft_alpha
    eaft_k tiled_mlp tiled_mlp_num_shards tiled_mlp_use_original_mlp llama4_linearized_experts
    fp32_norms fp32_norm_classes fix_untrained_tokens total_num_tokens total_supervised_tokens
    axolotl_config_path max_packed_sequence_len rope_scaling dpo_use_logits_to_keep dpo_norm_loss
    rpo_alpha overrides_of_model_config overrides_of_model_kwargs comet_workspace comet_project_name
    comet_experiment_key comet_mode comet_online comet_experiment_config lisa_n_layers
    lisa_step_interval lisa_layers_attribute processor_kwargs model_quantization_config
    model_quantization_config_kwargs use_onebitllms image_size image_resize_algorithm role_boundaries
    lora_fan_in_fan_out lora_rank_pattern lora_alpha_pattern peft_layers_to_transform
    peft_layers_pattern peft peft_layer_replication peft_trainable_token_indices
    peft_ensure_weight_tying peft_autocast_adapter_dtype gptq loraplus_lr_ratio merge_method relora
    relora_prune_ratio relora_prune_method relora_cpu_offload embedding_lr embedding_lr_scale optim_args
    optim_target_modules torchdistx_path lr_quadratic_warmup cosine_constant_lr_ratio lr_div_factor
    lr_groups adam_epsilon2 adam_beta3 dion_lr dion_momentum dion_rank_fraction dion_rank_multiple_of
    qgalore_rank qgalore_update_proj_gap qgalore_scale qgalore_proj_type qgalore_proj_quant
    qgalore_proj_bits qgalore_proj_group_size qgalore_cos_threshold qgalore_gamma_proj
    qgalore_queue_size jagged_restart_steps jagged_restart_warmup_steps jagged_restart_anneal_steps
"""
RULES |= {key: lost("ftc has no counterpart") for key in _REST.split() if key != "trl"}

TOGETHER = """
    base_model revision_of_model chat_template chat_template_jinja adapter load_in_8bit load_in_4bit
    lora_r lora_alpha lora_target_modules lora_target_linear lora_modules_to_save peft_use_dora
    peft_use_rslora peft_init_lora_weights sequence_len excess_length_strategy sample_packing
    train_on_inputs num_epochs max_steps micro_batch_size gradient_accumulation_steps batch_size
    learning_rate lr_scheduler lr_scheduler_kwargs cosine_min_lr_ratio warmup_steps warmup_ratio
    optimizer max_grad_norm eval_steps evals_per_epoch eval_strategy evaluation_strategy
    load_best_model_at_end early_stopping_patience use_wandb use_mlflow use_tensorboard use_trackio seed
    gradient_checkpointing output_dir rl reward_model center_rewards_coefficient rl_beta dpo_beta
    orpo_alpha simpo_gamma cpo_alpha kto_desirable_weight kto_undesirable_weight dpo_label_smoothing
    dpo_loss_type dpo_loss_weights datasets test_datasets pretraining_dataset val_set_size bf16 fp16
    bfloat16 float16 float32 trl
"""
KNOWN = frozenset(RULES) | frozenset(TOGETHER.split())
