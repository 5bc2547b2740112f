# Two containers of one image, in one task or (gateway_mode = "task") each in its own. The agent has no secret and no AWS rights; the gateway alone holds the model key, and stays
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

  gateway_size = { cpu_units = 256, memory_mib = 512 }

  agent_container = merge(local.hardening, {
    name             = "agent"
    image            = var.agent_image
    essential        = true
    memory           = var.memory_mib - (local.is_apart ? 0 : local.gateway_size.memory_mib)
    command          = ["task"]
    mountPoints      = [{ sourceVolume = "job", containerPath = "/job" }]
    stopTimeout      = 120
    logConfiguration = local.logs["agent"]
    }, { for name, value in { dependsOn = [{ containerName = "gateway", condition = "START" }] } : name => value if !local.is_apart }
  )

  gateway_container = merge(local.hardening, {
    name      = "gateway"
    image     = var.agent_image
    essential = local.is_apart
    memory    = local.gateway_size.memory_mib
    command   = ["gateway", "--port", "8790"]
    environment = [
      { name = "SOULCASTER_GATEWAY_URL", value = var.model_url },
      { name = "SOULCASTER_GATEWAY_LIMITS", value = jsonencode({ requests = 0, tokens = 0, cost_usd = 0 }) },
    ]
    secrets          = [{ name = "SOULCASTER_GATEWAY_KEY", valueFrom = var.model_secret_arn }]
    logConfiguration = local.logs["gateway"]
  })

  container_definitions = {
    agent   = concat([local.agent_container], [for each in [local.gateway_container] : each if !local.is_apart])
    gateway = [local.gateway_container]
  }
}
