# terraform test: runs without provider and account.

variables {
  region             = "eu-central-1"
  account_id         = "123456789012"
  agent_image        = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/soulcaster-agent@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  model_secret_arn   = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:soulcaster/model-key-AbCdEf"
  subnet_ids         = ["subnet-1", "subnet-2"]
  security_group_ids = ["sg-1"]
  github_repository  = "acme/feedback"
}

run "only_the_gateway_has_a_secret" {
  command = plan

  assert {
    condition     = [for each in jsondecode(output.container_definitions) : each.name if can(each.secrets)] == ["gateway"]
    error_message = "The agent reads strangers' words: it must not be given a secret."
  }
}

run "the_task_ends_with_the_agent" {
  command = plan

  assert {
    condition     = { for each in jsondecode(output.container_definitions) : each.name => each.essential } == { agent = true, gateway = false }
    error_message = "The agent is essential, the gateway is not."
  }
}

run "a_gateway_apart_leaves_the_agent_alone" {
  command = plan

  variables {
    gateway_mode               = "task"
    gateway_security_group_ids = ["sg-2"]
  }

  assert {
    condition     = [for each in jsondecode(output.container_definitions) : each.name] == ["agent"]
    error_message = "With a gateway in a task of its own the agent's task has nothing but the agent."
  }

  assert {
    condition     = [for each in jsondecode(output.gateway_container_definitions) : each.essential] == [true]
    error_message = "The gateway's task ends with the gateway."
  }
}

run "containers_share_the_memory_of_the_task" {
  command = plan

  variables {
    cpu_units  = 4096
    memory_mib = 16384
  }

  assert {
    condition     = sum([for each in jsondecode(output.container_definitions) : each.memory]) == 16384
    error_message = "What the containers may use adds up to the task's memory."
  }
}

run "every_container_is_hardened" {
  command = plan

  assert {
    condition = alltrue([for each in jsondecode(output.container_definitions) :
      each.user == "10001:10001" && each.readonlyRootFilesystem && each.linuxParameters.capabilities.drop == ["ALL"]
      && !each.linuxParameters.initProcessEnabled && each.logConfiguration.options.mode == "blocking"
    ])
    error_message = "No root, no writable root, no capabilities, no init process, no dropped log lines."
  }
}

run "without_an_image_there_is_no_task" {
  command = plan

  variables {
    agent_image = null
  }

  assert {
    condition     = output.container_definitions == null
    error_message = "A task definition needs an image."
  }
}

run "ci_is_one_branch_of_one_repository" {
  command = plan

  assert {
    condition = jsondecode(output.documents.ci_push_trust).Statement[0].Condition.StringEquals == {
      "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
      "token.actions.githubusercontent.com:sub" = "repo:acme/feedback:ref:refs/heads/main"
    }
    error_message = "Images come from one branch of one repository."
  }
}

run "a_tag_is_no_image" {
  command = plan

  variables {
    agent_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/soulcaster-agent:latest"
  }

  expect_failures = [var.agent_image]
}

run "wildcards_are_no_repository" {
  command = plan

  variables {
    github_repository = "acme/*"
  }

  expect_failures = [var.github_repository]
}

run "fargate_has_no_such_size" {
  command = plan

  variables {
    cpu_units  = 2048
    memory_mib = 2048
  }

  expect_failures = [var.memory_mib]
}

run "a_key_goes_nowhere_in_the_clear" {
  command = plan

  variables {
    model_url = "http://models.example.org"
  }

  expect_failures = [var.model_url]
}
