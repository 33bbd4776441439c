"""LLaMA-Factory's keys that stand on their own, and those that ftc has no counterpart of."""

from __future__ import annotations

from ftc.importing import huggingface as hf
from ftc.importing.rules import Rule, fine, group, lost

KERNELS = "ftc takes the kernels that device and model have"
INFERENCE = "it is no part of training; `ftc chat` and `ftc generate` ask a run's model"
READS = "ftc reads and keeps rows by itself"
EXPORT = "`ftc export RUN` writes a model in other forms"
OPTIMIZER = "ftc has such optimizers with their own defaults"

RULES: dict[str, Rule] = {
    **hf.RULES,
    "trust_remote_code": lost(
        "an import gives no file the right to run code", "model.trust_remote_code = true, after a look at it"
    ),
    "adapter_name_or_path": lost("a run starts from a whole model", 'model.base = { recipe = "PATH" }'),
    "enable_liger_kernel": hf.RULES["use_liger_kernel"],
    "use_unsloth": lost("ftc trains with TRL alone", 'train.kernels = "liger"'),
    "use_galore": lost(OPTIMIZER, 'train.optimizer = "galore_adamw"'),
    "use_apollo": lost(OPTIMIZER, 'train.optimizer = "apollo_adamw"'),
    "use_badam": lost("ftc has no BAdam", "train.optimizer (docs/tuning.md lists them)"),
    "use_adam_mini": lost("ftc has no Adam-mini", "train.optimizer (docs/tuning.md lists them)"),
    "use_muon": lost("ftc has no Muon", "train.optimizer (docs/tuning.md lists them)"),
    "use_swanlab": lost("ftc reports to trackio, wandb, mlflow and tensorboard", "train.trackers"),
    "default_system": lost("it would stand in rows that have none", "[render] system"),
    "tool_format": fine("the chat template writes tools"),
    "preserve_thinking": lost("the chat template says what stays of earlier reasoning", "render.history"),
    "disable_shuffling": lost("rows are trained in an order by the seed"),
    "ref_model": lost("the reference is the model as it was before training"),
    "reward_model": lost("ftc has rewards for grpo and rloo", "train.objective.rewards"),
    "ref_model_adapters": lost("the reference is the model as it was before training"),
    "loraplus_lr_ratio": lost("all adapters learn at one rate"),
    "loraplus_lr_embedding": fine("it belongs to loraplus_lr_ratio"),
    "compute_accuracy": fine("`[eval] metrics` says what is measured"),
    "predict_with_generate": fine("`[eval] metrics` says what is measured"),
    "low_cpu_mem_usage": fine("ftc loads weights that way in any case"),
    "use_kv_cache": fine(INFERENCE),
    "resize_vocab": fine("the vocabulary stays as it is"),
    "create_new_adapter": fine("a run makes a new adapter in any case"),
    "quantization_method": lost(
        "ftc stores bases with bitsandbytes", "tune.quantise", off=("bitsandbytes", "bnb", None)
    ),
    "tokenized_path": fine(READS),
    "eval_on_each_dataset": lost("ftc measures held-out rows together", "[[eval]] suites, one for each"),
    "use_llama_pro": lost("ftc adds no layers"),
    "infer_dtype": fine(INFERENCE),
    "freeze_vision_tower": fine("ftc trains no images"),
    "freeze_multi_modal_projector": fine("ftc trains no images"),
    "split_special_tokens": lost("control tokens in texts stay what they are", "[lints] control_tokens"),
    **group(
        fine(KERNELS),
        """
        flash_attn shift_attn use_v1_kernels use_reentrant_gc use_unsloth_gc
        """,
    ),
    **group(
        fine(READS),
        """
        overwrite_cache preprocessing_batch_size preprocessing_num_workers streaming buffer_size
        data_shared_file_system cache_dir ignore_pad_token_for_loss media_dir
        """,
    ),
    **group(
        fine(EXPORT),
        """
        export_dir export_size export_device export_quantization_bit export_legacy_format
        export_quantization_dataset export_quantization_nsamples export_hub_model_id
        export_quantization_maxlen
        """,
    ),
    **group(
        fine(INFERENCE),
        """
        do_sample temperature top_p top_k num_beams max_new_tokens repetition_penalty length_penalty
        skip_special_tokens infer_backend vllm_maxlen vllm_gpu_util vllm_enforce_eager
        vllm_max_lora_rank vllm_config sglang_maxlen eval_num_beams sglang_mem_fraction sglang_tp_size
        sglang_config sglang_lora_backend offload_folder generation_max_length generation_num_beams
        """,
    ),
    **group(
        fine(hf.ONE_DEVICE),
        """
        ray_num_workers ray_init_kwargs master_addr master_port device_map
        """,
    ),
    **group(
        fine("it belongs to an optimizer that is not carried over"),
        """
        galore_target galore_rank galore_scale galore_update_interval apollo_rank galore_proj_type
        galore_layerwise apollo_target apollo_scale apollo_proj apollo_update_interval apollo_proj_type
        apollo_scale_type apollo_layerwise apollo_scale_front badam_mode badam_start_block
        badam_switch_mode badam_switch_interval badam_verbose badam_update_ratio badam_mask_mode
        """,
    ),
    **group(
        fine("ftc samples nothing in this objective"),
        """
        ppo_buffer_size ppo_epochs ppo_score_norm ppo_target ppo_whiten_rewards reward_model_type
        """,
    ),
    **group(
        fine(hf.LOGGED),
        """
        print_param_status include_effective_tokens_per_second swanlab_project
        """,
    ),
    **group(
        fine("a recipe holds no secret; the environment does"),
        """
        hf_hub_token ms_hub_token om_hub_token swanlab_api_key swanlab_lark_secret
        """,
    ),
    **group(
        fine("it is for the objective of another stage"),
        """
        pref_loss pref_beta pref_ftx dpo_label_smoothing simpo_gamma kto_chosen_weight
        kto_rejected_weight
        """,
    ),
}

_REST = """
    interleave_probs adapter_folder use_fast_tokenizer new_special_tokens_config init_special_tokens
    rope_scaling mixture_of_depths moe_aux_loss_coef upcast_layernorm upcast_lmhead_output
    train_from_scratch quantization_device_map image_max_pixels image_min_pixels image_do_pan_and_scan
    crop_to_patches video_max_pixels video_min_pixels video_fps video_maxlen use_audio_in_video
    audio_sampling_rate use_kt kt_cpu_activation kt_weight_path kt_non_expert_weight_path
    kt_expert_checkpoint_path kt_use_lora_experts kt_lora_expert_num kt_lora_expert_intermediate_size
    model_max_length block_diag_attn pref_bco_weight ref_model_quantization_bit reward_model_adapters
    reward_model_quantization_bit ld_alpha use_mca use_megatron_bridge megatron_bridge_args
    use_hyper_parallel hyper_parallel_args hyper_parallel_cp_size use_asft_loss asft_alpha use_eaft_loss
    eaft_alpha freeze_language_model swanlab_workspace swanlab_run_name swanlab_mode swanlab_logdir
    swanlab_lark_webhook_url oft_rank enable_torch_profiler profiler_output_dir profiler_wait_steps
    profiler_warmup_steps profiler_active_steps profiler_repeat profiler_record_shapes
    profiler_profile_memory profiler_with_stack profile_modules fp8 fp8_backend optim_args
    fp8_enable_fsdp_float8_all_gather use_cache sortish_sampler generation_config dataloader_drop_last
    torch_compile_backend torch_compile_mode torch_empty_cache_steps bf16_full_eval fp16_full_eval tf32
    prediction_loss_only eval_accumulation_steps eval_delay debug average_tokens_across_devices
    max_length activation_checkpointing activation_checkpointing_kwargs batch_eval_metrics
    dataloader_multiprocessing_context eval_do_concat_batches eval_on_start eval_use_gather_object
    include_for_metrics liger_kernel_config optim_target_modules trackio_bucket_id trackio_space_id
    trackio_static_space_id
"""
RULES |= {key: lost("ftc has no counterpart") for key in _REST.split()}

TOGETHER = """
    stage model_name_or_path model_revision template dataset eval_dataset dataset_dir cutoff_len packing
    neat_packing train_on_prompt mask_history val_size max_samples mix_strategy interleave_probs
    finetuning_type quantization_bit quantization_type double_quantization lora_rank lora_alpha
    lora_dropout lora_target use_rslora use_dora additional_target pissa_init pissa_iter pissa_convert
    oft_block_size oft_target module_dropout freeze_trainable_layers freeze_trainable_modules
    freeze_extra_modules pure_bf16 add_tokens add_special_tokens disable_gradient_checkpointing
    early_stopping_steps enable_thinking use_dft_loss
"""
KNOWN = frozenset(RULES) | hf.TOGETHER | frozenset(TOGETHER.split())
