# Two containers of one image. The agent has no secret and no AWS rights; the gateway alone holds the model key, and stays
# closed (limits of 0) unless a launch opens it. No init process: its environment would show the address of the job's ticket.
# Blocking logs: the other mode drops lines when its buffer is full.

locals {
  hardening = {
    user                   = "10001:10001"
    readonlyRootFilesystem = true
    linuxParameters        = { initProcessEnabled = false, capabilities = { drop = ["ALL"] } }
  }

  logs = { for container in ["agent", "gateway"] : container => {
    logDriver = "awslogs"
    options = {
      awslogs-group         = local.log_group
      awslogs-region        = var.region
      awslogs-stream-prefix = container
      mode                  = "blocking"
    }
  } }

  gateway_memory_mib = 512

  container_definitions = [
    merge(local.hardening, {
      name             = "agent"
      image            = var.agent_image
      essential        = true
      memory           = var.memory_mib - local.gateway_memory_mib
      command          = ["task"]
      mountPoints      = [{ sourceVolume = "job", containerPath = "/job" }]
      dependsOn        = [{ containerName = "gateway", condition = "START" }]
      stopTimeout      = 120
      logConfiguration = local.logs["agent"]
    }),
    merge(local.hardening, {
      name      = "gateway"
      image     = var.agent_image
      essential = false
      memory    = local.gateway_memory_mib
      command   = ["gateway", "--port", "8790"]
      environment = [
        { name = "SOULCASTER_GATEWAY_URL", value = var.model_url },
        { name = "SOULCASTER_GATEWAY_LIMITS", value = jsonencode({ requests = 0, tokens = 0, cost_usd = 0 }) },
      ]
      secrets          = [{ name = "SOULCASTER_GATEWAY_KEY", valueFrom = var.model_secret_arn }]
      logConfiguration = local.logs["gateway"]
    }),
  ]
}
