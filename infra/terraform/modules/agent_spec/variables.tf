variable "name" {
  description = "First part of every name."
  type        = string
  default     = "soulcaster"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}$", var.name))
    error_message = "Expected 2 to 21 small letters, digits or hyphens that begin with a letter: bucket names allow no more."
  }
}

variable "partition" {
  description = "AWS partition of all ARNs."
  type        = string
  default     = "aws"
}

variable "region" {
  description = "AWS region."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "Expected a region such as eu-central-1."
  }
}

variable "account_id" {
  description = "AWS account, twelve digits."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "Expected twelve digits."
  }
}

variable "agent_image" {
  description = "The agent's image by digest; null until one has been pushed: then there is no task definition yet."
  type        = string
  default     = null

  validation {
    condition     = var.agent_image == null || can(regex("@sha256:[0-9a-f]{64}$", var.agent_image))
    error_message = "Expected REPOSITORY@sha256:DIGEST: a tag can be moved to another image."
  }
}

variable "model_secret_arn" {
  description = "Full ARN of the Secrets Manager secret that holds the model key."
  type        = string
}

variable "model_url" {
  description = "Where the model answers; a launch may name another one."
  type        = string
  default     = "https://generativelanguage.googleapis.com"

  validation {
    condition     = startswith(var.model_url, "https://")
    error_message = "Expected https://: the gateway sends a key there."
  }
}

variable "cpu_units" {
  description = "Size of the task, 1024 units are one vCPU; has to fit memory_mib by Fargate's table."
  type        = number
  default     = 2048

  validation {
    condition     = contains([1024, 2048, 4096, 8192], var.cpu_units)
    error_message = "Expected 1024, 2048, 4096 or 8192: with less the coding tool takes a minute to start."
  }
}

variable "memory_mib" {
  description = "Memory of the task in MiB, of which the gateway has 512."
  type        = number
  default     = 8192

  validation {
    condition     = var.memory_mib % 1024 == 0 && var.memory_mib >= 2 * var.cpu_units && var.memory_mib <= 8 * var.cpu_units
    error_message = "Expected whole GiB, 2 to 8 for each vCPU: Fargate offers no other."
  }
}

variable "prefix" {
  description = "Job folders lie below it in the bucket (SOULCASTER_ECS_PREFIX)."
  type        = string
  default     = "soulcaster"

  validation {
    condition     = can(regex("^[A-Za-z0-9._-]{1,100}$", var.prefix))
    error_message = "Expected 1 to 100 letters, digits, dots, hyphens or underscores."
  }
}

variable "subnet_ids" {
  description = "Subnets that tasks are attached to."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the tasks."
  type        = list(string)
}

variable "gateway_mode" {
  description = "sidecar: the model gateway runs beside the agent. task: in a task of its own, and the agent reaches nothing else."
  type        = string
  default     = "sidecar"

  validation {
    condition     = contains(["sidecar", "task"], var.gateway_mode)
    error_message = "Expected sidecar or task."
  }
}

variable "gateway_security_group_ids" {
  description = "Security groups of the gateway where it is a task of its own."
  type        = list(string)
  default     = []
}

variable "has_public_ip" {
  description = "Tasks get a public address: for subnets without a NAT gateway."
  type        = bool
  default     = false
}

variable "is_spot" {
  description = "Ask for Fargate Spot first. Runs are short and paid by token, so it saves little and costs reruns."
  type        = bool
  default     = false
}

variable "github_repository" {
  description = "OWNER/NAME of the repository whose Actions push images and plan."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "Expected OWNER/NAME, without wildcards."
  }
}

variable "github_branch" {
  description = "The one branch that images are pushed from."
  type        = string
  default     = "main"

  validation {
    condition     = can(regex("^[A-Za-z0-9._/-]+$", var.github_branch))
    error_message = "Expected the name of one branch, without wildcards."
  }
}

variable "github_plan_environment" {
  description = "The one GitHub environment that plans run in; let it ask for a reviewer."
  type        = string
  default     = "terraform-plan"

  validation {
    condition     = can(regex("^[A-Za-z0-9._-]+$", var.github_plan_environment))
    error_message = "Expected the name of one environment, without wildcards."
  }
}

variable "images_kept" {
  description = "Images kept in each repository."
  type        = number
  default     = 20
}
